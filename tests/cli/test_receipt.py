"""`mlcli receipt`: output and exit codes."""

from __future__ import annotations

import json


def test_two_runs_are_reported_without_any_framework(cold_cli, stored_runs):
    arguments = ("receipt", "20260101T000000Z_iris", "20260101T000000Z_forest", "--runs-dir", stored_runs)
    process = cold_cli(*arguments, "--format", "json", PYTHONPROFILEIMPORTTIME="1")
    assert process.returncode == 0, process.stderr
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    assert "mlcli.compare.receipt" in imported
    assert not imported & {"torch", "sklearn", "keras", "skops", "scipy"}
    rows = {row["what"]: row for row in json.loads(process.stdout)["rows"]}
    assert rows["dataset fingerprint"]["is_equal"]
    assert rows["split"]["is_equal"]
    assert rows["processor"]["is_equal"]
    assert rows["initial weights"]["values"][1] is None
    assert rows["optimizer"]["values"][0].startswith("lbfgs")
    assert not rows["model"]["is_equal"]


def test_a_single_run_and_a_missing_run_are_refused(cli, stored_runs):
    single = cli("receipt", "20260101T000000Z_iris", "--runs-dir", stored_runs)
    assert (single.returncode, single.stdout) == (2, "")
    assert "two runs or more" in single.stderr
    missing = cli("receipt", "last", "nowhere", "--runs-dir", stored_runs)
    assert missing.returncode == 2
    assert "no run 'nowhere'" in missing.stderr


def test_an_altered_run_is_refused(cli, stored_runs, digits_copy):
    config = digits_copy / "config.yaml"
    config.write_text(config.read_text().replace("lr: 0.001", "lr: 0.002"))
    process = cli("receipt", digits_copy, "20260101T000000Z_iris", "--runs-dir", stored_runs)
    assert process.returncode == 3
    assert "config.yaml was altered" in process.stderr
