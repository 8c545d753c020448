"""The real command refuses hostile configurations, uses little memory and has no side effects."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "wait4"), reason="os.wait4 reports the memory of a child process, only on Unix"
)

# Commands are started from a small separate process, because the peak memory of a child includes that of its parent.
LAUNCHER = """
import json, os, subprocess, sys, tempfile
def start(words, folder):
    streams = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    pipes = {"stdin": subprocess.DEVNULL, "stdout": streams[0], "stderr": streams[1]}
    return subprocess.Popen(words, cwd=folder, **pipes), streams
def end(process, streams):
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    texts = [os.pread(stream.fileno(), 1 << 20, 0).decode("utf-8") for stream in streams]
    return [process.returncode, *texts, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)]
started, ended = [], []
for command in json.load(sys.stdin):
    started.append(start(*command))
    if len(started) > (os.cpu_count() or 1):
        ended.append(end(*started.pop(0)))
json.dump(ended + [end(*one) for one in started], sys.stdout)
"""
ESCAPE = "\x1b[31m"


@dataclass(frozen=True)
class Ended:
    """The exit code, output and peak memory of a finished command."""

    code: int
    stdout: str
    stderr: str
    peak_bytes: int

    def check_refused(self):
        """Check that the command ended with exit code 2 and a message without control characters on stderr."""
        assert self.code == 2, self.stderr
        assert self.stdout == ""
        assert self.stderr.startswith("mlcli: ")
        assert all(line.isprintable() for line in self.stderr.split("\n"))
        assert "Traceback" not in self.stderr
        assert self.peak_bytes < 200_000_000


def launched(commands, **environment):
    """Run `mlcli ARGUMENTS` in a folder for each command, with one process per core, and return the results."""
    given = [([sys.executable, "-m", "mlcli", *arguments], str(folder)) for arguments, folder in commands]
    process = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER],
        input=json.dumps(given),
        env={name: value for name, value in os.environ.items() if not name.startswith("MLCLI_")} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [Ended(*ended) for ended in json.loads(process.stdout)]


def state(folder):
    """Return the modification time of every path below a folder."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def refusals(tmp_path, monkeypatch):
    """Run commands in the folder `here`, which is the working directory, and return their messages.

    Every one must refuse, and none may create or change a file in the folder or next to it.
    """
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*commands, **environment):
        before = state(tmp_path)
        ended = launched([(arguments, tmp_path / "here") for arguments in commands], **environment)
        for outcome in ended:
            outcome.check_refused()
        assert state(tmp_path) == before
        return [outcome.stderr for outcome in ended]

    return run


def alias_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)])


NAME = "name: must be 1 to 64 letters"
TAG = "the tag !!python/object/apply:os.system is not allowed"
RUN = "init_from.run: must be a directory, a run id"
# The content of x.yaml and the expected message. `other` is a path outside the working directory.
HOSTILE = {
    "alias bomb": (alias_bomb(), "4:5: holds more than 10000 values"),
    "1,000 lists": ("name: " + "[" * 1000 + "]" * 1000, "1:38: is nested more than 32 levels deep"),
    "1,000 mappings": ("\n".join(" " * n + "a:" for n in range(1000)), "33:33: is nested more than 32 levels deep"),
    "python object": ("seed: 1\nname: !!python/object/apply:os.system [touch marker]\n", f"2:7: name: {TAG}"),
    "python key": ("? !!python/object/apply:os.system [touch marker]\n: 1\n", f"1:3: {TAG}"),
    "a thousand tags": ("".join(f"%TAG !{n}! a:\n" for n in range(1000)) + "---\na: 1\n", "1:1: the directive %TAG"),
    "name up": ("seed: 1\nname: ../up\n", f"2:7: {NAME}"),
    "name of an outside file": ("name: {other}\n", f"1:7: {NAME}"),
    "name with NUL": ('name: "a\\0b"\n', f"1:7: {NAME}"),
    "name with a line break": ('name: "a\\nb"\n', f"1:7: {NAME}"),
    "name in red": ('name: "\\e[31mred\\x9b1m"\n', f"1:7: {NAME}"),
    "raw escape": (f"seed: 1\nname: {ESCAPE}\n", "2:7: the character \\x1b is not allowed here"),
    "raw NUL": ("seed: 1\nname: a\0b\n", "2:8: the character \\x00 is not allowed here"),
    "key in red": ('? "\\e[31m"\n: 1\n', "1:3: \\x1b[31m: unknown key"),
    "extends no settings": ("extends: folder/../../plain\n", "1:1: must hold settings as `key: value` lines"),
    "extends an outside file": ("extends: {other}\n", "1:10: extends: must be relative to this file"),
    "extends with NUL": ('extends: "a\\0b"\n', "1:10: extends: must be the path of a file"),
    "extends itself": ("extends: [x.yaml]\n", "1:11: extends: files extend one another in a circle"),
    "extends zeros": ("extends: zero\n", "1:10: extends: no such file: 'zero'"),
    "extends a pipe": ("extends: pipe\n", "1:10: extends: no such file: 'pipe'"),
    "extends a folder": ("extends: folder\n", "1:10: extends: no such file: 'folder'"),
    "extends a loop": ("extends: loop\n", "1:10: extends: no such file: 'loop'"),
    "run with NUL": ('init_from: {run: "a\\0b"}\n', f"1:18: {RUN}"),
    "run in red": ('init_from: {run: "a\\n\\e[31m"}\n', f"1:18: {RUN}"),
    "estimator": ("model: {name: estimator, estimator: os.system}\n", "1:37: model.estimator: must be a plain name"),
    "argument in red": (
        'model: {name: estimator, estimator: SVC, parameters: {"\\e[31m": 1}}\n',
        "1:55: model.parameters.\\x1b[31m: must be a plain name, e.g. SVC or max_depth, got '\\x1b[31m'",
    ),
    "threads": ("runtime: {threads: 2000000000}\n", "1:20: runtime.threads: must be at most 1024"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Return for each hostile file the path of a folder that contains it as x.yaml, with targets for `extends`."""
    folders = {}
    for number, (name, (text, _)) in enumerate(HOSTILE.items()):
        parent = tmp_path_factory.mktemp(f"hostile{number}")
        (parent / "other").write_text("seed: 1\n")
        (parent / "plain").write_text("some text\n")
        folders[name] = folder = parent / "here"
        (folder / "folder").mkdir(parents=True)
        (folder / "loop").symlink_to("loop")
        (folder / "zero").symlink_to("/dev/zero")
        os.mkfifo(folder / "pipe")
        (folder / "x.yaml").write_text(text.replace("{other}", str(parent / "other")))
    return folders


@pytest.fixture(scope="module")
def trained(hostile):
    """Run `mlcli train` with each hostile file; return its outcome and whether any file was changed."""
    before = {name: state(folder.parent) for name, folder in hostile.items()}
    ended = launched([(("train", "x.yaml"), folder) for folder in hostile.values()])
    is_changed = [state(folder.parent) != before[name] for name, folder in hostile.items()]
    return dict(zip(hostile, zip(ended, is_changed, strict=True), strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_its_location(trained, name):
    ended, is_changed = trained[name]
    ended.check_refused()
    assert not is_changed
    first, *_ = ended.stderr.splitlines()
    assert re.search(r":\d+:\d+: ", first)
    assert f"mlcli: {'x.yaml' if name != 'extends no settings' else 'folder/../../plain'}:{HOSTILE[name][1]}" in first


def test_one_validate_command_refuses_all_hostile_files(hostile):
    paths = {name: folder / "x.yaml" for name, folder in hostile.items()}
    before = [state(folder.parent) for folder in hostile.values()]
    command = ("config", "validate", *map(str, paths.values()))
    (ended,) = launched([(command, next(iter(hostile.values())))])
    ended.check_refused()
    for name, path in paths.items():
        shown_path = path if name != "extends no settings" else path.parent / "folder/../../plain"
        expected, *_ = HOSTILE[name][1].split("'")
        assert f"{shown_path}:{expected}" in ended.stderr
    assert [state(folder.parent) for folder in hostile.values()] == before


@pytest.mark.parametrize("name", ["alias bomb", "python object"])
def test_every_command_that_reads_a_file_refuses_it(refusals, name):
    Path("x.yaml").write_text(HOSTILE[name][0])
    for message in refusals(
        ("train", "x.yaml", "--dry-run"), ("config", "show", "x.yaml"), ("compare", "x.yaml"),
        ("batch-bench", "x.yaml"), ("parity", "x.yaml"),
    ):  # fmt: skip
        assert f"mlcli: x.yaml:{HOSTILE[name][1]}" in message


def test_escapes_in_the_name_of_a_file_are_escaped_in_messages(refusals):
    name = f"{ESCAPE}\x9b1m\n.yaml"
    Path(name).write_text("name: ../up\n")
    commands = (("train", name), ("compare", name), ("batch-bench", name))
    for message in refusals(*commands):
        assert f"mlcli: \\x1b[31m\\x9b1m\\n.yaml:1:7: {NAME}" in message
    (message,) = refusals(("train", f"no{name}"))
    assert message.startswith("mlcli: no\\x1b[31m\\x9b1m\\n.yaml: no such file (did you mean '\\x1b[31m")


def test_paths_that_are_not_regular_files_are_refused(refusals):
    Path("folder.yaml").mkdir()
    Path("loop.yaml").symlink_to("loop.yaml")
    Path("huge.yaml").touch()
    os.mkfifo("pipe.yaml")
    os.truncate("huge.yaml", 50_000_000)
    expected_messages = {
        "huge.yaml": "is larger than 1 MB, which no experiment needs; is it the right file?",
        "/dev/zero": "cannot be read: it is not a regular file",
        "pipe.yaml": "cannot be read: it is not a regular file",
        "folder.yaml": "is a directory; name a YAML file in it",
        "loop.yaml": "cannot be read: Too many levels of symbolic links",
        f"{'x' * 300}.yaml": "cannot be read: File name too long",
    }
    for message, (path, expected) in zip(
        refusals(*(("train", path) for path in expected_messages)), expected_messages.items(), strict=True
    ):
        assert message.startswith(f"mlcli: {path}:")
        assert expected in message


def test_initial_weights_from_a_path_that_is_not_a_run_are_refused(refusals, tmp_path):
    (tmp_path / "other").mkdir()
    runs = ["../other", str(tmp_path), "../../../../../../../../../../etc", "x" * 255]
    for number, run in enumerate(runs):
        Path(f"{number}.yaml").write_text(f"dataset: iris\ninit_from: {{run: {run}}}\n")
    messages = refusals(*(("train", f"{number}.yaml") for number in range(len(runs))))
    for run, message in zip(runs, messages, strict=True):
        assert f"{run}: not a run directory" in message or f"no run '{run}'" in message


VALUES = {
    "name": ("../x", "got '../x'"),
    "model.parameters": (alias_bomb(), "holds more than 10000 values"),
    "model.hidden": ("[" * 1000, "is nested more than 32 levels deep"),
    "dataset.name": ("!!python/object/apply:os.system [touch marker]", TAG),
    "dataset.limit": (ESCAPE, "the character \\x1b is not allowed here"),
    "schedule.name": ('"\\e[31m"', "unknown schedule '\\x1b[31m'"),
    "seed": ("1e400", "numbers must be finite, got '1e400'"),
    "training.epochs": ("9" * 5000, "the number is too large"),
    "runtime.threads": ("2000000000", "must be at most 1024"),
    "init_from.run": ('"a\\0b"', "must be a directory, a run id"),
}


def test_hostile_settings_on_the_command_line_are_refused(refusals):
    settings = {f"{key}={value}": expected for key, (value, expected) in VALUES.items()} | {
        f"{ESCAPE}=1": "unknown key",
        "a." * 1000 + "b=1": "must be key.path=value",
        "extends=x.yaml": "unknown key",
    }
    (message,) = refusals(("train", *(word for setting in settings for word in ("--set", setting))))
    for setting, expected in settings.items():
        start = setting.replace(ESCAPE, "\\x1b[31m")[:30]
        (line,) = (line for line in message.splitlines() if f"--set {start}" in line)
        assert expected in line
        assert len(line) < 300


def test_hostile_environment_variables_are_refused(refusals):
    variables = {
        f"MLCLI_{key.upper().replace('.', '__')}": (value, expected) for key, (value, expected) in VALUES.items()
    }
    odd = f"MLCLI_{ESCAPE}{'A' * 5000}"
    environment = {variable: value for variable, (value, _) in variables.items()} | {odd: "1"}
    (message,) = refusals(("train",), **environment)
    lines = [line.removeprefix("mlcli:").strip() for line in message.splitlines()]
    assert f"MLCLI_\\x1b[31m{'A' * 66}...: unknown variable" in lines
    for variable, (_, expected) in variables.items():
        (line,) = (line for line in lines if line.startswith(f"{variable}: "))
        assert expected in line
        assert len(line) < 300


def test_hostile_option_values_are_refused(refusals):
    wrong_values = ("--name", ESCAPE, "--lr", "1e400", "--threads", "2000000000", "--init-from", "a\nb")
    settings, seed, unknown = refusals(("train", *wrong_values), ("train", "--seed", "1e400"), ("train", f"--{ESCAPE}"))
    for expected in (
        "--name: must be 1 to 64 letters", "got '\\x1b[31m'", "--lr: numbers must be finite",
        "--threads: must be at most 1024", "--init-from: must be a directory",
    ):  # fmt: skip
        assert expected in settings
    assert "Invalid value for '--seed'" in seed
    refusals(
        ("train", "--fail-under", f"{ESCAPE}=1"), ("compare", ESCAPE, ESCAPE), ("compare", "a" * 5000),
    )  # fmt: skip
    assert "No such option: --\\x1b[31m" in unknown


def test_escapes_in_a_valid_file_are_escaped_in_the_output(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "backend: sklearn\ndataset: iris\nmodel:\n  name: estimator\n  estimator: SVC\n"
        '  parameters: {kernel: "\\e[31m\\x9b1m", class_weight: {"\\e[2J": 1}}\n'
    )
    (ended,) = launched([(("config", "show", "x.yaml"), tmp_path)])
    assert ended.code == 0
    assert "\\e[31m" in ended.stdout
    assert all(line.isprintable() for line in ended.stdout.split("\n"))
