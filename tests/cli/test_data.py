from __future__ import annotations

import csv
import json
import subprocess
import sys
from io import StringIO

import pytest
from typer.testing import CliRunner

from mlcli.cli.data import app
from mlcli.errors import DataError, UsageError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def json_rows(result):
    assert result.exception is None, result.exception
    return json.loads(result.stdout)["rows"]


def copy_raw(image_data_dir, folder):
    """A data directory with the Fashion-MNIST files and nothing prepared."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (image_data_dir / "FashionMNIST" / "raw").iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    return raw


def test_list_shows_shapes_counts_and_paths(tmp_path):
    rows = {row["name"]: row for row in json_rows(run("list", "--data-dir", tmp_path, "--format", "json"))}
    assert list(rows) == ["iris", "wine", "breast_cancer", "digits", "mnist", "fashion"]
    assert rows["iris"]["state"] == "embedded"
    assert rows["fashion"] == {
        "name": "fashion",
        "title": "Fashion-MNIST (Xiao et al., 2017)",
        "kind": "image",
        "shape": "1x28x28",
        "n_classes": 10,
        "n_train_samples": 60000,
        "n_test_samples": 10000,
        "state": "absent",
        "path": None,
    }


@pytest.mark.parametrize("output_format", ["table", "markdown"])
def test_list_as_a_table(tmp_path, output_format):
    result = run("list", "--data-dir", tmp_path, "--format", output_format)
    assert result.exit_code == 0
    assert "60,000" in result.stdout
    assert "Fashion-MNIST (Xiao et al., 2017)" in result.stdout


def test_list_as_csv(tmp_path):
    rows = list(csv.DictReader(StringIO(run("list", "--data-dir", tmp_path, "--format", "csv").stdout)))
    assert [(row["name"], row["n_train_samples"]) for row in rows][:2] == [("iris", "150"), ("wine", "178")]


def test_show_prints_one_document_and_writes_a_picture(tmp_path):
    result = run("show", "iris", "--format", "json", "--save-plots", tmp_path / "plots")
    assert result.exception is None, result.exception
    assert json.loads(result.stdout)["splits"]["train"]["shape"] == [120, 4]
    assert (tmp_path / "plots" / "iris_samples.png").is_file()
    assert "iris_samples.png" in result.stderr


def test_show_of_data_that_are_absent_names_the_command_that_fetches_them(tmp_path):
    result = run("show", "fashion", "--data-dir", tmp_path, "--offline")
    assert isinstance(result.exception, DataError)
    assert "mlcli data fetch fashion" in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "fasion"], "did you mean 'fashion'"),
        (["verify", "nmist"], "did you mean 'mnist'"),
        (["list", "--format", "jsn"], "did you mean 'json'"),
        (["show", "irsi"], "did you mean 'iris'"),
        (["show", "iris", "--format", "jsn"], "did you mean 'json'"),
        (["fetch", "mnist", "--from", "file:///tmp"], "is not an http or https address"),
        (["fetch", "mnist", "--from", "no-such-folder"], "neither an existing folder"),
    ],
)
def test_wrong_arguments_are_usage_errors(arguments, message):
    error = run(*arguments).exception
    assert isinstance(error, UsageError)
    assert message in str(error)


def test_embedded_data_needs_no_fetching_and_verifies():
    (row,) = json_rows(run("fetch", "iris", "--format", "json"))
    assert (row["n_fetched_files"], row["path"]) == (0, "embedded in scikit-learn")
    (row,) = json_rows(run("verify", "iris", "--format", "json"))
    assert row["state"] == "ok"


def test_absent_data_is_an_error_only_if_it_is_named(tmp_path):
    rows = json_rows(run("verify", "--data-dir", tmp_path, "--format", "json"))
    assert [(row["name"], row["state"]) for row in rows] == [
        ("iris", "ok"),
        ("wine", "ok"),
        ("breast_cancer", "ok"),
        ("digits", "ok"),
        ("mnist", "absent"),
        ("fashion", "absent"),
    ]
    result = run("verify", "fashion", "--data-dir", tmp_path)
    assert "absent" in result.stdout
    assert isinstance(result.exception, DataError)
    assert str(result.exception).splitlines() == [
        "fashion is not downloaded",
        "fetch altered and missing files: mlcli data fetch fashion",
    ]


@pytest.mark.images
def test_fetch_from_a_folder_then_verify_then_detect_an_altered_file(image_data_dir, tmp_path):
    at = ["--data-dir", tmp_path, "--format", "json"]
    result = run("fetch", "fashion", "--from", image_data_dir, *at)
    (row,) = json_rows(result)
    assert (row["n_fetched_files"], row["n_present_files"]) == (4, 0)
    assert "fetching" in result.stderr
    states = {row["name"]: row["state"] for row in json_rows(run("list", *at))}
    assert (states["fashion"], states["mnist"]) == ("prepared", "absent")
    assert {row["state"] for row in json_rows(run("verify", "fashion", *at))} == {"ok"}

    labels = tmp_path / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-1])
    result = run("verify", *at)
    assert [row["path"] for row in json.loads(result.stdout)["rows"] if row["state"] == "altered"] == [str(labels)]
    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith(f"{labels} has 29514 bytes instead of 29515\n")

    (row,) = json_rows(run("fetch", "fashion", "--from", image_data_dir, *at))
    assert (row["n_fetched_files"], row["n_present_files"]) == (1, 3)
    assert run("verify", "fashion", *at).exit_code == 0


@pytest.mark.images
def test_verify_names_a_missing_file_of_an_unusable_dataset(image_data_dir, tmp_path):
    raw = copy_raw(image_data_dir, tmp_path)
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    result = run("verify", "--data-dir", tmp_path)
    assert isinstance(result.exception, DataError)
    assert f"{raw / 't10k-labels-idx1-ubyte.gz'} is missing" in str(result.exception)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mlcli.cli.data import app\n"
        "try: app(['fetch', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'numpy', 'torch', 'sklearn', 'platformdirs', 'filelock'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--from" in result.stdout


def test_the_list_fits_80_columns_and_loses_nothing_in_a_pipe(cli, image_data_dir):
    narrow = cli("data", "list", "--data-dir", image_data_dir, COLUMNS="80").stdout
    assert max(map(len, narrow.splitlines())) <= 80
    assert "not shown here: path" in narrow
    assert "60,000" in narrow
    piped = cli("data", "list", "--data-dir", image_data_dir).stdout
    assert str(image_data_dir / "prepared" / "fashion") in piped
