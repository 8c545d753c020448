"""`mlcli doctor` on this machine, and on one where much is wrong."""

from __future__ import annotations

import json
import os
import pwd
import sys
import tempfile

import numpy
import pytest
from jsonschema import validate

from mlcli.doctor import DoctorRequest
from mlcli.doctor.diagnosis import Folder, _check_dataset, _folder_problems, _folders
from mlcli.schema.documents import document_schema


@pytest.fixture
def broken(tmp_path):
    """Environment variables with which Keras cannot be imported, a setting is wrong and the runs cannot be written."""
    (tmp_path / "packages" / "keras").mkdir(parents=True)
    (tmp_path / "packages" / "keras" / "__init__.py").write_text("import no_such_package\n")
    (tmp_path / "sealed").mkdir(mode=0o555)
    path = f"{tmp_path / 'packages'}:{':'.join(sys.path)}"
    return {"PYTHONPATH": path, "MLCLI_SEED": "x", "MLCLI_RUNS_DIR": str(tmp_path / "sealed" / "runs")}


def test_a_sound_machine(cold_cli, tmp_path):
    process = cold_cli("doctor", "--format", "json", MLCLI_THREADS="1")
    assert process.returncode == 0, process.stderr
    document = json.loads(process.stdout)
    validate(document, document_schema("doctor"))
    assert document["is_usable"] is True
    assert document["problems"] == []
    assert document["packages"]["numpy"] == numpy.__version__
    assert (document["threads"], document["threads_source"]) == (1, "MLCLI_THREADS")
    assert [engine["backend"] for engine in document["engines"]] == ["sklearn", "torch", "keras"]
    assert all(engine["error"] is None and engine["device"] for engine in document["engines"])
    assert document["default_device"] in [device["name"] for device in document["devices"]]
    assert {one["name"]: one["state"] for one in document["datasets"]} == {
        "iris": "whole", "wine": "whole", "breast_cancer": "whole", "digits": "whole",
        "mnist": "absent", "fashion": "absent",
    }  # fmt: skip
    runs = next(folder for folder in document["folders"] if folder["purpose"] == "runs")
    assert (runs["path"], runs["exists"], runs["is_writable"]) == (str(tmp_path / "runs"), False, True)
    assert not (tmp_path / "runs").exists()


def test_every_problem_is_reported_with_what_to_do(cold_cli, broken):
    process = cold_cli("doctor", COLUMNS="300", **broken)
    assert process.returncode == 1
    assert "mlcli: keras cannot run; the report says why" in process.stderr
    lines = process.stdout.splitlines()
    for problem, advice in (
        ("MLCLI_SEED: must be a whole number, got 'x'", "correct or unset this environment variable"),
        ("keras cannot run: No module named 'no_such_package'", "pip install no_such_package"),
        (f"the runs folder {broken['MLCLI_RUNS_DIR']} cannot be written", "make it writable, or choose another one"),
    ):
        assert lines[lines.index(problem) + 1].strip().startswith(advice)
    assert any("engine torch" in line and "works on" in line for line in lines)


def test_an_altered_dataset_is_told_from_an_incomplete_and_an_absent_one(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    assert _check_dataset("fashion", tmp_path).state == "absent"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"nothing")
    check = _check_dataset("fashion", tmp_path)
    assert check.state == "altered"
    assert "has 7 bytes instead of" in check.detail


def test_whole_datasets(image_data_dir):
    assert [_check_dataset(name, image_data_dir).state for name in ("mnist", "fashion")] == ["whole", "whole"]


def test_a_data_folder_may_be_read_only_if_the_cache_can_be_written():
    data, runs = (Folder(purpose, f"/{purpose}", True, False, 2**40) for purpose in ("data", "runs"))
    cache = Folder("cache", "/cache", True, True, 2**20)
    assert [one.problem for one in _folder_problems((data, cache, runs))] == [
        "only 1 MiB are free for the cache folder /cache",
        "the runs folder /runs cannot be written",
    ]


def test_a_user_without_a_home_has_a_private_cache_folder(tmp_path, monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("HOME", "XDG_CACHE_HOME", "MLCLI_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert [folder.path for folder in _folders(DoctorRequest())][:2] == [str(tmp_path / f"mlcli-{os.getuid()}")] * 2
