"""Commands in odd surroundings: terminals, closed streams, settings of other programs, users without a home."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.fixtures.processes import start_mlcli

IRIS, DIGITS = "20260101T000000Z_iris", "20260101T000000Z_digits"
TRAIN = ("train", "-b", "sklearn", "-d", "iris", "--model", "logistic", "--out", "run")
LATIN_1 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def run(tmp_path, stored_runs):
    """Run `mlcli ARGS` in an empty folder, with the stored runs; redirection: as a shell reads it."""

    def run_command(
        *arguments, redirection="", flags=(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment
    ):
        command = ["sh", "-c", f'"$0" "$@" {redirection}', sys.executable, *flags, "-m", "mlcli", *arguments]
        variables = os.environ | {"MLCLI_RUNS_DIR": str(stored_runs)} | environment
        streams = {"stdout": stdout, "stderr": stderr}
        process = subprocess.run(command, cwd=tmp_path, env=variables, timeout=120, check=False, **streams)
        assert b"Traceback" not in (process.stderr or b"")
        assert b"internal error" not in (process.stderr or b"")
        return process

    return run_command


@pytest.fixture
def python_path(tmp_path, monkeypatch):
    """Run a text as `sitecustomize` when the Python of a command starts."""

    def prepare(code):
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    return prepare


@pytest.fixture
def no_reader():
    """The descriptor of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def status(folder):
    return json.loads((folder / "metrics.json").read_text())["status"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp949"])
@pytest.mark.parametrize("arguments", [("runs", "list"), ("compare", IRIS, "20260101T000000Z_forest")])
def test_a_terminal_that_is_not_utf8_shows_tables_in_ascii(run, encoding, arguments):
    process = run(*arguments, PYTHONIOENCODING=encoding)
    assert process.returncode == 0, process.stderr
    text = process.stdout.decode(encoding)
    assert "│" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines[:3]}) == 1


def test_the_confusion_matrix_has_similar_characters_in_ascii(run):
    process = run("evaluate", DIGITS, PYTHONIOENCODING="ascii")
    assert process.returncode == 0, process.stderr
    assert b"| . |" in process.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_is_the_same_document_in_every_encoding(run, tmp_path, stored_runs, encoding):
    folder = tmp_path / f"日本é{LATIN_1}"
    folder.symlink_to(stored_runs)
    arguments = ("runs", "list", "--runs-dir", folder, "--format", "json")
    document = run(*arguments, PYTHONIOENCODING=encoding).stdout
    assert document.isascii()
    assert json.loads(document) == json.loads(run(*arguments, PYTHONIOENCODING="utf-8").stdout)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_training_finishes_without_stderr(run, tmp_path, redirection):
    process = run(*TRAIN, redirection=redirection)
    assert process.returncode == 0
    assert b"test accuracy" in process.stdout
    assert status(tmp_path / "run") == "finished"


def test_training_finishes_if_nobody_reads_its_output(run, tmp_path, no_reader):
    assert run(*TRAIN, stdout=no_reader, stderr=no_reader).returncode == 0
    assert status(tmp_path / "run") == "finished"


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_a_result_that_cannot_be_written_is_said_after_the_run_has_finished(run, tmp_path, redirection):
    process = run(*TRAIN, redirection=redirection)
    assert process.returncode == 1
    assert b"mlcli: the result could not be written to stdout: " in process.stderr
    assert status(tmp_path / "run") == "finished"


def test_a_reader_that_is_gone_changes_neither_the_exit_code_nor_the_plots(run, tmp_path, no_reader):
    arguments = ("evaluate", IRIS, "--save-plots", "plots", "--fail-under", "accuracy=1")
    assert run(*arguments, stdout=no_reader).returncode == 7
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["confusion_matrix.png", "mistakes.png"]


def test_plots_do_not_depend_on_the_settings_of_the_user(run, tmp_path):
    run("evaluate", IRIS, "--save-plots", "plots")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\nfigure.dpi: abc\n")
    process = run("evaluate", IRIS, "--save-plots", "others", MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert process.returncode == 0, process.stderr
    for path in (tmp_path / "plots").iterdir():
        assert path.read_bytes() == (tmp_path / "others" / path.name).read_bytes()


def test_keras_runs_without_the_settings_of_the_user(run, tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "bfloat16", "image_data_format": "channels_first"}')
    settings = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "KERAS_NNX_ENABLED": "1",
        "KERAS_MAX_EPOCHS": "none",
        "KERAS_TORCH_DEVICE": "nonsense",
    }
    process = run("train", "-b", "keras", "-d", "iris", "--epochs", "2", "--out", "run", **settings)
    assert process.returncode == 0, process.stderr
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3


def test_warnings_that_are_errors_end_no_run(run, tmp_path):
    process = run(*TRAIN, flags=("-W", "error"))
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("columns", ["0", "1", "-5", "wide", "100000000"])
def test_a_useless_width_of_the_terminal_loses_no_result(run, columns):
    process = run("runs", "show", IRIS, COLUMNS=columns)
    assert process.returncode == 0, process.stderr
    assert b"0.9" in process.stdout
    assert b"evaluate" in run("--help", COLUMNS=columns).stdout


def test_a_user_without_a_home_trains_on_embedded_data(run, tmp_path, python_path, monkeypatch):
    python_path("import pwd\ndef unknown(uid):\n    raise KeyError(uid)\npwd.getpwuid = unknown\n")
    for name in ("HOME", "XDG_CACHE_HOME", "MLCLI_DATA_DIR", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    process = run(*TRAIN, TMPDIR=str(tmp_path))
    assert process.returncode == 0, process.stderr
    listed = run("data", "list", "--format", "json", TMPDIR=str(tmp_path))
    assert listed.returncode == 0, listed.stderr
    (private,) = tmp_path.glob("mlcli-*")
    assert private.stat().st_mode & 0o777 == 0o700
    private.chmod(0o777)
    refused = run("data", "list", TMPDIR=str(tmp_path))
    assert refused.returncode == 3
    assert b"is not a private folder" in refused.stderr


def test_a_deleted_working_directory_is_named(run):
    here = 'mkdir gone; cd gone; rmdir ../gone; "$0" "$@"'
    process = subprocess.run(
        ["sh", "-c", here, sys.executable, "-m", "mlcli", *TRAIN], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.startswith("mlcli: no working directory: it was deleted\n")


def test_files_with_any_name_are_read_and_written(run, tmp_path):
    np.save(tmp_path / f"{LATIN_1}.npy", np.zeros((5, 8, 8)))
    process = run("predict", DIGITS, "--input", f"{LATIN_1}.npy", "--output", f"{LATIN_1}.parquet")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / f"{LATIN_1}.parquet").read_bytes()[:4] == b"PAR1"
    refused = run("convert", DIGITS, "--to", "onnx", "--output", f"{LATIN_1}.onnx")
    assert refused.returncode == 2
    assert b"the name is not UTF-8" in refused.stderr
    refused = run(*TRAIN[:-1], "two\nlines")
    assert refused.returncode == 2
    assert b"a line break in the name" in refused.stderr


@pytest.mark.parametrize(
    ("model", "setting"),
    [("estimator", "model.parameters.n_estimators=1000000000"), ("estimator", "model.parameters.n_jobs=1000000"),
     ("cnn", "model.kernel_size=99"), ("mlp", "model.hidden=[100000000000]")],
)  # fmt: skip
def test_an_absurd_size_is_refused_with_its_name_before_anything_is_loaded(run, model, setting):
    chosen = ("--set", "model.estimator=RandomForestClassifier") if model == "estimator" else ()
    process = run("train", "-d", "digits", "--model", model, *chosen, "--set", setting, "--dry-run")
    assert process.returncode == 2
    assert setting.partition("=")[0].rpartition(".")[2].encode() in process.stderr


def test_a_parameter_that_is_rejected_only_when_predicting_is_named(run):
    settings = ("--set", "model.estimator=KNeighborsClassifier", "--set", "model.parameters.n_neighbors=1000000")
    process = run("train", "-b", "sklearn", "-d", "iris", "--model", "estimator", *settings, "--out", "run")
    assert process.returncode == 2
    assert b"n_neighbors" in process.stderr


def test_a_library_that_cannot_be_loaded_is_named(run):
    process = run("train", "-b", "torch", "-d", "iris", "--epochs", "1", TORCH_LOGS="nonsense")
    assert process.returncode == 1
    assert b"PyTorch cannot be loaded: " in process.stderr


@pytest.mark.parametrize("module", ["mlcli.cli.app", "typer", "mlcli.train", "numpy", "torch"])
def test_an_interrupt_while_modules_are_imported_leaves_no_traceback(module, python_path):
    python_path(
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    process = start_mlcli("train", "-b", "torch", "-d", "iris", "--epochs", "1", "--out", "run")
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert "mlcli: stopped by Ctrl-C" in messages
