"""`mlcli train` as a process: output, exit codes and signals."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures.processes import start_mlcli

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
IRIS = ("train", "--backend", "sklearn", "--dataset", "iris", "--model", "logistic")
QUICK = ("train", "--backend", "torch", "--dataset", "iris", "--epochs", 2)


def test_a_run_puts_its_result_on_stdout_and_its_progress_on_stderr(cli, tmp_path):
    process = cli(*QUICK)
    assert process.returncode == 0, process.stderr
    assert "test accuracy" in process.stdout
    for part in ("load", "build", "first epoch", "remaining epochs (1)", "evaluate", "total", "parameters", "device"):
        assert part in process.stdout
    assert "epoch 1/2  running loss" in process.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    assert directory.name in process.stdout


MLP = ("train", "--backend", "sklearn", "--dataset", "digits", "--epochs", 2)


def test_a_terminal_shows_stages_and_steps(terminal):
    text = terminal(*MLP, NO_COLOR="1")
    assert "importing scikit-learn and building mlp" in text
    assert re.search(r"epoch [12]/2  step \d+/45  loss \d\.\d{4}", text)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)  # no colours


def test_a_simple_terminal_gets_plain_lines_and_quiet_only_the_result(terminal):
    lines = terminal(*MLP, TERM="dumb").splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert not any(re.search(r"step \d|importing|\x1b", line) for line in lines)
    assert terminal(*MLP, "--quiet", NO_COLOR="1").lstrip("\x1b[1m").startswith("digits_mlp on sklearn, seed 0")


def test_a_piped_table_is_never_truncated(cli, tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    process = cli(*IRIS, "--runs-dir", deep)
    assert "…" not in process.stdout
    (directory,) = deep.iterdir()
    assert str(directory) in process.stdout


def test_json_is_exactly_one_document(cli):
    process = cli(*QUICK, "--format", "json", "-q")
    document = json.loads(process.stdout)
    assert process.stderr == ""
    assert document["schema_version"] == 2
    assert document["status"] == "finished"
    assert document["metrics"]["test"]["accuracy"] > 0
    assert Path(document["directory"], "metrics.json").exists() or not Path(document["directory"]).is_absolute()


def test_csv_is_a_header_and_a_row_and_markdown_is_a_table(cli):
    (row,) = csv.DictReader(io.StringIO(cli(*IRIS, "--format", "csv").stdout))
    assert row["backend"] == "sklearn"
    assert float(row["test_accuracy"]) > 0.8
    lines = cli(*IRIS, "--format", "markdown").stdout.splitlines()
    assert lines[1] == "| --- | --- |"
    assert all(line.startswith("|") and line.endswith("|") for line in lines)


def test_the_same_command_twice_gives_the_same_numbers(cli):
    first, second = (json.loads(cli(*QUICK, "--format", "json").stdout) for _ in range(2))
    assert first["metrics"] == second["metrics"]
    assert first["digests"] == second["digests"]
    assert first["run_id"] != second["run_id"]


def test_if_needed_reports_an_existing_run(cli, tmp_path):
    first = json.loads(cli(*IRIS, "--format", "json").stdout)
    again = json.loads(cli(*IRIS, "--format", "json", "--if-needed").stdout)
    assert again["is_reused"]
    assert again["run_id"] == first["run_id"]
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_thresholds_decide_the_exit_code_after_the_report(cli):
    assert cli(*IRIS, "--fail-under", "accuracy=0.5").returncode == 0
    missed = cli(*IRIS, "--fail-under", "accuracy=1.0")
    assert missed.returncode == 7
    assert "test accuracy" in missed.stdout
    assert "accuracy 0.9" in missed.stderr
    assert "below 1" in missed.stderr


def test_print_config_can_be_run_again(cli, tmp_path):
    printed = cli(*QUICK, "--lr", "1e-2", "--set", "model.hidden=[16]", "--print-config")
    assert printed.returncode == 0
    (tmp_path / "again.yaml").write_text(printed.stdout)
    assert cli("train", "again.yaml", "--print-config").stdout == printed.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_plans_on_every_engine_it_names(path, cli):
    import yaml

    text = path.read_text()
    assert text.startswith("# ")
    assert f"mlcli train {path.stem} " in text
    for backend in yaml.safe_load(text)["backends"]:
        process = cli("train", path, "--backend", backend, "--dry-run", "--format", "json")
        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout)["plan"]["backend"] == backend


BAD = {
    "unknown backend": (("--backend", "pytorch"), "did you mean 'torch'"),
    "unknown dataset": (("--dataset", "fashon"), "did you mean 'fashion'"),
    "unknown model": (("--model", "mpl"), "did you mean 'mlp'"),
    "unknown optimizer": (("--optimizer", "addam"), "did you mean 'adam'"),
    "unknown format": (("--format", "jsn"), "did you mean 'json'"),
    "unknown key": (("--set", "training.epoch=3"), "did you mean 'epochs'"),
    "negative learning rate": (("--lr", "-1"), "lr"),
    "no epochs": (("--epochs", "0"), "epochs"),
    "text for a number": (("--epochs", "five"), "--epochs"),
    "a flag that does not exist": (("--epocs", "5"), "--epochs"),
    "rmsprop in scikit-learn": (("--backend", "sklearn", "--optimizer", "rmsprop"), "sgd, adam"),
    "cnn in scikit-learn": (("--backend", "sklearn", "--model", "cnn"), "torch or keras"),
    "no such file": (("nothing.yaml",), "nothing.yaml"),
    "threshold without a number": (("--fail-under", "accuracy"), "accuracy=0.85"),
    "unknown threshold": (("--fail-under", "acuracy=0.5"), "did you mean 'accuracy'"),
    "unknown device": (("--device", "gpu"), "device"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_clear_message_and_exit_code_2(arguments, message, cli, tmp_path):
    process = cli("train", *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_an_unknown_estimator_is_refused_with_the_nearest_name(cli):
    process = cli("train", "-b", "sklearn", "-m", "estimator", "--set", "model.estimator=RandomForrest")
    assert process.returncode == 2
    assert "did you mean 'RandomForestClassifier'" in process.stderr


def test_cuda_on_a_machine_without_it_is_refused_with_the_possible_devices(cli):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    process = cli(*QUICK, "--device", "cuda")
    assert process.returncode == 2
    assert "no CUDA device was found" in process.stderr
    assert "cpu" in process.stderr


def test_data_that_is_missing_offline_is_exit_code_3(cli, tmp_path):
    process = cli("train", "--backend", "torch", "--dataset", "fashion", "--offline", "--data-dir", tmp_path / "none")
    assert process.returncode == 3
    assert "mlcli data fetch fashion" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_run_that_diverges_is_exit_code_4_and_marked(cli, tmp_path):
    process = cli(*QUICK, "--optimizer", "sgd", "--lr", "1e30")
    assert process.returncode == 4
    assert "--lr" in process.stderr
    (directory,) = (tmp_path / "runs").iterdir()
    assert json.loads((directory / "metrics.json").read_text())["status"] == "diverged"


def test_a_runs_directory_that_cannot_be_written_is_one_clear_message(cli, tmp_path):
    (tmp_path / "file").write_text("")
    process = cli(*IRIS, "--runs-dir", tmp_path / "file")
    assert process.returncode == 1
    assert "file" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_for_stdout_is_no_traceback(tmp_path):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "mlcli", *IRIS],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_which_is_recorded_as_interrupted(number, code, tmp_path):
    process = start_mlcli(*QUICK[:-1], 100000, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/history.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in stderr
    (directory,) = (tmp_path / "runs").iterdir()
    assert json.loads((directory / "metrics.json").read_text())["status"] == "interrupted"


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['mlcli', '--help']\n"
        "from mlcli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = 'torch keras sklearn torchvision pandas matplotlib numpy scipy pydantic yaml'.split()\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "loaded: []"


def test_iris_on_scikit_learn_loads_neither_torch_nor_keras(tmp_path):
    code = (
        "import sys\n"
        f"sys.argv = ['mlcli', *{list(IRIS)!r}]\n"
        "from mlcli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('loaded:', [name for name in ('torch', 'keras', 'torchvision') if name in sys.modules])\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "loaded: []"
