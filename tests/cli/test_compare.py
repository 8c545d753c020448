"""`mlcli compare` as a process: cells in separate processes, reuse, failures, thresholds, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from mlcli.cli.app import main
from tests.fixtures.processes import start_mlcli
from tests.fixtures.warm import warm_mlcli

DIGITS = """
name: small
dataset: digits
model:
  hidden: [16]
training:
  epochs: 2
backends:
  sklearn:
"""
NEIGHBOURS = """
dataset: iris
backend: sklearn
model:
  name: estimator
  estimator: KNeighborsClassifier
"""
VARY = ("--vary", "optimizer.lr=0.01,0.0001", "--seeds", "2")


def _mlcli(folder, *arguments, **environment):
    return subprocess.run(
        [warm_mlcli(), "compare", *arguments],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    """A folder with a matrix of two learning rates and two seeds, and the first call that ran it.

    The environment sets another learning rate, which must not affect a cell that sets its learning rate.
    """
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "digits.yaml").write_text(DIGITS)
    first = _mlcli(folder, "digits.yaml", *VARY, "--format", "json", MLCLI_OPTIMIZER__LR="0.5")
    assert first.returncode == 0, first.stderr
    return folder, first


def _runs(folder):
    return sorted(path.parent for path in (folder / "runs").glob("*/metrics.json"))


def test_every_cell_runs_once_round_by_round_with_its_own_settings(matrix):
    folder, first = matrix
    cells = [yaml.safe_load((path / "config.yaml").read_text()) for path in _runs(folder)]
    cells.sort(key=lambda cell: (cell["seed"], -cell["optimizer"]["lr"]))
    assert [(cell["seed"], cell["optimizer"]["lr"]) for cell in cells] == [
        (0, 0.01), (0, 0.0001), (1, 0.01), (1, 0.0001),
    ]  # fmt: skip
    lines = [line.split("  ")[:3] for line in first.stderr.splitlines() if line.startswith("[")]
    assert [(number, seed) for number, _, seed in lines] == [
        ("[1/4]", "seed 0"), ("[2/4]", "seed 0"), ("[3/4]", "seed 1"), ("[4/4]", "seed 1"),
    ]  # fmt: skip
    labels = [label for _, label, _ in lines]
    assert set(labels[:2]) == {"lr=0.01", "lr=0.0001"}
    assert labels[2:] == labels[1::-1]


def test_the_cost_tells_processes_from_cells(matrix):
    cost = json.loads(matrix[1].stdout)["cost"]
    assert (cost["n_cells"], cost["n_run"], cost["n_reused"], cost["n_failed"]) == (4, 4, 0, 0)
    assert cost["starting_seconds"] > 0
    assert cost["cells_seconds"] + cost["starting_seconds"] <= cost["wall_seconds"]


def test_a_second_call_reuses_everything_and_imports_no_framework(matrix):
    folder, first = matrix
    program = (
        "import sys\n"
        "from mlcli.cli.app import main\n"
        f"sys.argv = ['mlcli', 'compare', 'digits.yaml', *{VARY}, '--format', 'json', '--quiet']\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'torch', 'keras', 'sklearn', 'torchvision', 'scipy.stats', 'pandas', 'matplotlib'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    before = _runs(folder)
    again = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[-1] == "[]"
    assert _runs(folder) == before
    now, then = json.loads(again.stdout), json.loads(first.stdout)
    assert now["cost"]["n_reused"] == 4
    assert all(run["is_reused"] for variant in now["variants"] for run in variant["runs"])
    assert (now["pairs"], now["conclusions"], now["receipt"]) == (then["pairs"], then["conclusions"], then["receipt"])


def test_more_seeds_run_only_what_is_missing(matrix):
    folder, _ = matrix
    plan = _mlcli(folder, "digits.yaml", *VARY[:2], "--seeds", "3", "--dry-run", "--format", "json")
    document = json.loads(plan.stdout)
    assert [cell["state"] for cell in document["cells"]] == ["finished"] * 4 + ["to run"] * 2
    assert document["seconds"] > 0
    assert document["n_without_estimate"] == 0
    assert len(_runs(folder)) == 4


def test_other_settings_are_another_experiment(matrix):
    folder, _ = matrix
    plan = _mlcli(folder, "digits.yaml", *VARY, "--set", "training.epochs=3", "--dry-run", "--format", "json")
    assert {cell["state"] for cell in json.loads(plan.stdout)["cells"]} == {"to run"}


def test_finished_runs_are_compared_by_glob(matrix):
    folder, first = matrix
    found = _mlcli(folder, "small_*", "*small_sklearn*", "--format", "json", "--quiet")
    assert found.returncode == 2  # the first matches nothing
    found = _mlcli(folder, "*small_sklearn*", "--reference", "lr=0.01", "--format", "json", "--quiet")
    assert json.loads(found.stdout)["pairs"] == json.loads(first.stdout)["pairs"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--fail-under", "accuracy=0.2"), 7, "of lr=0.0001 is below 0.2"),
        (("--fail-under", "accuracy=0.01"), 0, ""),
        (
            ("--fail-if-worse", "good"),
            9,
            r"lr=0.0001 is less accurate than .*: 0\.\d+ \(2 runs\) against 0\.\d+ \(1 run\)",
        ),
        (("--fail-if-worse", "good", "--fail-under", "accuracy=0.2"), 7, "(?s)below 0.2.*lr=0.0001 is less accurate"),
        (("--fail-if-worse", "bad"), 0, ""),
        (("--format", "pdf"), 2, "unknown format"),
    ],
)
def test_thresholds_and_their_exit_codes(matrix, arguments, code, message, monkeypatch, capsys):
    """In this process, through the same error boundary."""
    folder, first = matrix
    by_label = {variant["label"]: variant["runs"] for variant in json.loads(first.stdout)["variants"]}
    names = {"good": by_label["lr=0.01"][0]["run_id"], "bad": by_label["lr=0.0001"][0]["run_id"]}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["mlcli", "compare", "digits.yaml", *VARY, *[names.get(a, a) for a in arguments]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert re.search(message, capsys.readouterr().err)


def test_a_cell_that_fails_is_a_row_with_its_reason_until_it_is_tried_again(tmp_path):
    (tmp_path / "knn.yaml").write_text(NEIGHBOURS)
    call = ["knn.yaml", "--vary", "model.parameters={n_neighbors: 5000},{n_neighbors: 3}", "--seeds", "1"]
    call += ["--format", "json"]

    stopped = _mlcli(tmp_path, *call, "--fail-fast", "--seeds", "2")
    assert stopped.returncode == 6
    variants = json.loads(stopped.stdout)["variants"]
    reasons = {(v["label"], failure["seed"]): failure["reason"] for v in variants for failure in v["failures"]}
    assert "n_neighbors = 5000" in reasons["n_neighbors=5000", 0]
    for label in ("n_neighbors=3", "n_neighbors=5000"):  # whose turn it was in the first round is random
        assert "--fail-fast" in reasons[label, 1]

    rest = _mlcli(tmp_path, *call)
    assert rest.returncode == 6
    document = json.loads(rest.stdout)
    assert [(variant["label"], variant["n_runs"]) for variant in document["variants"]] == [
        ("n_neighbors=3", 1), ("n_neighbors=5000", 0),
    ]  # fmt: skip
    assert "failed in an earlier call" in document["variants"][1]["failures"][0]["reason"]
    assert (document["cost"]["n_run"] + document["cost"]["n_reused"], document["cost"]["n_failed"]) == (1, 1)

    again = json.loads(_mlcli(tmp_path, *call, "--retry-failed").stdout)
    assert (again["cost"]["n_run"], again["cost"]["n_reused"]) == (1, 1)
    assert "failed in an earlier call" not in again["variants"][1]["failures"][0]["reason"]


def test_an_interrupted_compare_interrupts_its_cell(tmp_path):
    (tmp_path / "digits.yaml").write_text(DIGITS)
    process = start_mlcli(
        "compare", "digits.yaml", "--set", "training.epochs=100000", cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    cells = []
    while process.poll() is None and not cells:
        cells = psutil.Process(process.pid).children()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in messages
    assert not psutil.pid_exists(cells[0].pid)


def test_parallel_cells_share_the_cores_and_are_marked(tmp_path):
    (tmp_path / "digits.yaml").write_text(DIGITS)
    process = _mlcli(tmp_path, "digits.yaml", "--seeds", "2", "--jobs", "2", "--format", "json")
    assert process.returncode == 0, process.stderr
    document = json.loads(process.stdout)
    assert document["cost"]["contended"]
    records = [json.loads((path / "metrics.json").read_text()) for path in _runs(tmp_path)]
    assert {record["threads"] for record in records} == {max(1, len(os.sched_getaffinity(0)) // 2)}


def test_times_of_different_sessions_are_compared_only_after_retiming(tmp_path):
    (tmp_path / "digits.yaml").write_text(DIGITS)

    def compare(*arguments):
        process = _mlcli(tmp_path, "digits.yaml", "--seeds", "1", "--threads", "1", "--format", "json", *arguments)
        assert process.returncode == 0, process.stderr
        document = json.loads(process.stdout)
        return document, [(pair["time_is"], pair["time"]) for pair in document["pairs"]]

    compare("--vary", "optimizer.beta2=0.999", "--jobs", "2")
    mixed, times = compare("--vary", "optimizer.beta2=0.999,0.9990001")
    assert (mixed["cost"]["n_run"], mixed["cost"]["n_reused"]) == (1, 1)
    assert times == [("not comparable", None)]
    assert mixed["pairs"][0]["accuracy"] is not None
    advice = "fit time: not comparable (measured in different sessions); --retime measures them again together"
    assert mixed["conclusions"][1] == advice
    sessions = {row["what"]: row for row in mixed["receipt"]["rows"]}["measurement session"]
    assert not sessions["is_equal"]
    table = _mlcli(tmp_path, *(str(path) for path in _runs(tmp_path)))
    assert "not comparable" in table.stdout
    assert "contended" in table.stdout
    refused = _mlcli(tmp_path, *(str(path) for path in _runs(tmp_path)), "--retime")
    assert refused.returncode == 2
    assert "name a configuration file instead" in refused.stderr
    measured, times = compare("--vary", "optimizer.beta2=0.999,0.9990001", "--retime")
    assert (measured["cost"]["n_run"], measured["cost"]["n_reused"]) == (2, 0)
    assert times[0][1]["n_rounds"] == 1


def test_a_configuration_and_runs_together_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["digits.yaml"], "one configuration or existing runs, not both"),
        (["--data", "t.csv", "--target", "y"], "--data: existing runs are compared as they are"),
    ):
        monkeypatch.setattr(sys, "argv", ["mlcli", "compare", "last", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        assert exited.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("-b", "sklearn"), ("--set", "dataset=iris"), ("last",), ("last", "last")])
def test_a_call_without_anything_to_compare_is_refused(matrix, arguments):
    folder, _ = matrix
    before = _runs(folder)
    process = _mlcli(folder, *arguments)
    assert process.returncode == 2
    assert "nothing to compare: name a configuration file, --data or --dataset, or two or more runs" in process.stderr
    assert _runs(folder) == before


def test_one_run_is_compared_with_the_run_of_fail_if_worse(matrix):
    folder, first = matrix
    good, bad = (variant["runs"][0]["run_id"] for variant in json.loads(first.stdout)["variants"])
    process = _mlcli(folder, bad, "--fail-if-worse", good, "--quiet")
    assert process.returncode == 9
    assert "McNemar's test of these two trained models" in process.stderr
    assert _mlcli(folder, good, "--fail-if-worse", bad, "--quiet").returncode == 0


def test_one_seed_of_a_configuration_is_not_judged_by_one_run(matrix):
    """Either could be lucky with its seed. The call is refused before anything runs."""
    folder, first = matrix
    good = json.loads(first.stdout)["variants"][0]["runs"][0]["run_id"]
    before = _runs(folder)
    process = _mlcli(folder, "digits.yaml", "--set", "seed=7", "--seeds", "1", "--fail-if-worse", good)
    assert process.returncode == 2
    assert "one seed against one run" in process.stderr
    assert "--seeds 3" in process.stderr
    assert _runs(folder) == before


def test_one_variant_with_several_seeds_runs(tmp_path):
    (tmp_path / "knn.yaml").write_text(NEIGHBOURS)
    process = _mlcli(tmp_path, "knn.yaml", "--seeds", "2", "--format", "json")
    assert process.returncode == 0, process.stderr
    assert [variant["n_runs"] for variant in json.loads(process.stdout)["variants"]] == [2]
