"""`mlcli evaluate`, `predict` and `runs`: output, files and exit codes."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import pytest

IRIS = "20260101T000000Z_iris"


@pytest.fixture
def runs(stored_runs, tmp_path):
    """A copy of the iris run in the place where commands look for runs."""
    shutil.copytree(stored_runs / IRIS, tmp_path / "runs" / IRIS)
    return tmp_path / "runs"


def test_evaluate_reports_on_stdout_and_writes_plots(cli, runs, iris_run, tmp_path):
    done = cli("evaluate", "last", "--format", "json", "--save-plots", "plots", "--fail-under", "accuracy=0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["accuracy"] == iris_run.record.metrics["test"].accuracy
    assert (tmp_path / "plots" / "mistakes.png").is_file()
    assert "wrote 2 plots to plots" in done.stderr


def test_evaluate_writes_scores_and_never_overwrites_them_silently(cli, runs, tmp_path):
    arguments = ("evaluate", "last", "--output", "scores.json")
    assert "wrote the scores of 30 samples to scores.json" in cli(*arguments).stderr
    rows = json.loads((tmp_path / "scores.json").read_text())["rows"]
    assert len(rows) == 30
    assert {"index", "label", "prediction", "logit_setosa", "probability_virginica"} <= set(rows[0])
    again = cli(*arguments)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert cli(*arguments, "--force").returncode == 0


def test_evaluate_shows_what_it_does_on_a_terminal_unless_quiet(terminal, runs):
    assert "importing scikit-learn and building logistic" in terminal("evaluate", "last")
    assert "importing" not in terminal("evaluate", "last", "--quiet")


def test_a_missed_threshold_exits_with_7_after_the_report(cli, runs):
    done = cli("evaluate", "last", "--fail-under", "accuracy=1", "--fail-under", "macro_f1=0.1")
    assert done.returncode == 7
    assert "accuracy reported by the run" in done.stdout
    assert "below 1" in done.stderr
    assert "macro_f1" not in done.stderr


def test_a_flipped_byte_exits_with_3_and_names_the_file(cli, runs):
    weights = runs / IRIS / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    done = cli("evaluate", "last")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "weights.safetensors was altered" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["runs show", "evaluate", "compare", "train --resume"])
def test_an_edited_accuracy_is_never_shown_and_exits_with_3(cli, runs, command):
    metrics = runs / IRIS / "metrics.json"
    record = json.loads(metrics.read_text())
    record["metrics"]["test"]["accuracy"] = 0.9999
    metrics.write_text(json.dumps(record))
    done = cli(*command.split(), f"runs/{IRIS}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "metrics.json was altered" in done.stderr
    assert sorted(path.name for path in runs.iterdir()) == [IRIS]
    assert json.loads(metrics.read_text()) == record


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["evaluate", "nothing"], 2, "no run 'nothing'"),
        (["evaluate", "last", "--split", "tset"], 2, "did you mean 'test'"),
        (["evaluate", "last", "--dataset", "digits"], 2, "samples of shape 1x8x8"),
        (["evaluate", "last", "--backend", "tensorflow"], 2, "unknown backend"),
        (["evaluate", "last", "--fail-under", "f1=0.5"], 2, "unknown metric 'f1'"),
        (["evaluate", "last", "--format", "yaml"], 2, "unknown format"),
        (["predict", "last", "-i", "none.npy", "-o", "out.csv"], 3, "no such file or folder"),
        (["runs", "show", "nothing"], 2, "no run 'nothing'"),
        (["runs", "list", "--sort", "size"], 2, "unknown key"),
    ],
)
def test_impossible_requests_are_refused_in_a_few_lines(cli, runs, arguments, code, words):
    done = cli(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert done.stdout == ""


def test_a_missing_dataset_exits_with_3(cli, tmp_path, digits_copy):
    """The run claims to use MNIST, whose files are not available."""
    config = digits_copy / "config.yaml"
    config.write_text(config.read_text().replace("name: digits\n  test", "name: mnist\n  test"))
    from mlcli.runs.directory import RunDirectory

    directory = RunDirectory(digits_copy)
    directory.finish(directory.read_record())
    done = cli("evaluate", digits_copy, "--offline")
    assert done.returncode == 3
    assert "mnist" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_writes_a_file_and_reports(cli, runs, iris_run, tmp_path):
    test = iris_run.load_dataset().test
    lines = [",".join(f'"{name}"' for name in iris_run.preprocessing.feature_names)]
    lines += [",".join(map(str, row)) for row in test.x.tolist()]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    done = cli("predict", IRIS[:10], "--input", "x.csv", "--output", "out.csv", "--format", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["n_samples"] == len(test)
    with (tmp_path / "out.csv").open() as file:
        labels = [int(row["label"]) for row in csv.DictReader(file)]
    assert labels == iris_run.files.predictions()["labels"].tolist()
    again = cli("predict", IRIS, "--input", "x.csv", "--output", "out.csv")
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_runs_are_listed_and_shown(cli, runs):
    listed = cli("runs", "list")
    assert listed.returncode == 0
    assert "20260101T000000Z" in listed.stdout
    shown = cli("runs", "show", "20260101T000000Z")
    assert shown.returncode == 0
    assert "test accuracy" in shown.stdout
    assert "History" in shown.stdout


def loaded_by(script, cwd):
    code = (
        f"import sys\nsys.argv = {script!r}\nfrom mlcli.cli.app import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('loaded:', *sorted(name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_listing_runs_loads_no_numpy_and_no_framework(runs):
    loaded = loaded_by(["mlcli", "runs", "list"], runs.parent)
    assert not loaded & {"numpy", "torch", "sklearn", "keras", "pandas", "scipy", "safetensors"}


def test_evaluating_a_torch_run_loads_torch_and_little_else(digits_copy):
    loaded = loaded_by(["mlcli", "evaluate", str(digits_copy), "-f", "json"], digits_copy.parent)
    assert "torch" in loaded
    assert not loaded & {
        "sklearn",
        "pandas",
        "scipy",
        "keras",
        "matplotlib",
        "torchvision",
        "torch._dynamo",
        "torch._inductor",
        "sympy",
    }
