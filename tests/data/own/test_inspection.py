from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.config.experiment import load_experiment
from mlcli.data.own import own_dataset
from mlcli.data.own.initial_config import init
from mlcli.data.own.inspection import InspectRequest, inspect, inspected
from mlcli.errors import UsageError

N_ROWS = 400


def inspection_of(table, path):
    table.to_csv(path, index=False)
    return inspected(DatasetConfig(path=str(path), target="label"))


@pytest.fixture
def clean(tmp_path):
    """A table in which nothing is wrong: two columns that say a little about two classes."""
    generator = np.random.default_rng(0)
    y = generator.integers(2, size=N_ROWS)
    return pd.DataFrame(
        {
            "height": generator.normal(y, 1.0),
            "colour": np.where(generator.random(N_ROWS) < 0.3 + 0.4 * y, "red", "blue"),
            "label": np.where(y == 1, "good", "bad"),
        }
    )


def test_a_clean_table_has_no_findings(clean, penguins, tmp_path):
    inspection = inspection_of(clean, tmp_path / "t.csv")
    assert inspection.findings == ()
    assert [(column.name, column.kind) for column in inspection.columns] == [
        ("height", "numeric"),
        ("colour", "categorical"),
    ]
    assert inspected(DatasetConfig(path=str(penguins), target="species")).findings == ()


@pytest.mark.parametrize(
    ("name", "values", "finding"),
    [
        ("number", range(N_ROWS), "column 'number' looks like an id: whole numbers, all different; set it to ignore"),
        ("code", [f"c{n}" for n in range(N_ROWS)], "column 'code' is ignored: it has no value in 5 training rows"),
        ("unit", ["cm"] * N_ROWS, "column 'unit' is constant: it tells nothing; set it to ignore"),
        ("day", ["2024-01-01"] * N_ROWS, "column 'day' is constant"),
    ],
)
def test_a_column_that_tells_nothing_is_found(name, values, finding, clean, tmp_path):
    (found,) = inspection_of(clean.assign(**{name: list(values)}), tmp_path / "t.csv").findings
    assert found.startswith(finding)


def test_a_column_that_alone_predicts_the_target_is_found_with_how_well(clean, tmp_path):
    generator = np.random.default_rng(1)
    is_good = clean["label"] == "good"
    leaks = {"diagnosis": np.where(is_good, "A", "B"), "dose": np.where(is_good, 5.0, 1.0) + generator.random(N_ROWS)}
    inspection = inspection_of(clean.assign(**leaks), tmp_path / "t.csv")
    diagnosis, dose = inspection.findings
    assert diagnosis.startswith("column 'diagnosis' alone predicts the target with accuracy 1.0000: check that it is")
    assert dose.startswith("column 'dose' alone predicts the target with accuracy 0.99")  # an edge of a bin is between


def test_rare_classes_and_imbalance_are_found(clean, tmp_path):
    clean["label"] = ["rare"] * 8 + ["usual"] * (N_ROWS - 8)
    rare, imbalance = inspection_of(clean, tmp_path / "t.csv").findings
    assert rare.startswith("classes with fewer than 10 training rows, whose scores will vary by chance: 'rare' (6)")
    assert imbalance.startswith("always predicting 'usual' has accuracy 0.9812")


def test_the_configuration_for_a_table_gives_the_same_dataset(mixed_table, monkeypatch):
    monkeypatch.chdir(mixed_table.parent)
    (mixed_table.parent / "own.yaml").write_text(
        init(InspectRequest(mixed_table.relative_to(mixed_table.parent), "label"))
    )
    config = load_experiment(mixed_table.parent / "own.yaml", environ={})
    assert config.dataset.columns == {
        "height": "numeric",
        "count": "numeric",
        "smoker": "boolean",
        "city": "categorical",
        "colour": "categorical",
    }
    expected = own_dataset(DatasetConfig(path=str(mixed_table), target="label"))
    assert own_dataset(config.dataset).info.encoding == expected.info.encoding


def test_a_configuration_and_settings_are_inspected_as_a_training_takes_them(penguins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ("dataset.missing=['NA', '2007']", "dataset.test=0.3")
    (tmp_path / "own.yaml").write_text(init(InspectRequest(penguins, "species", group="island", settings=settings)))
    config = load_experiment(tmp_path / "own.yaml", environ={}).dataset
    assert (config.group, config.missing, config.test) == ("island", ("NA", "2007"), 0.3)
    assert (config.columns["island"], config.columns["year"]) == ("ignore", "numeric")
    again = init(InspectRequest(tmp_path / "own.yaml"))
    assert again.partition("# column")[0] == (tmp_path / "own.yaml").read_text().partition("# column")[0]
    (tmp_path / "iris.yaml").write_text("dataset: iris")
    with pytest.raises(UsageError, match="not your own data; use mlcli data show iris"):
        init(InspectRequest(tmp_path / "iris.yaml"))


def test_the_findings_follow_the_tables_as_lines_of_text(clean, tmp_path, capsys):
    table = clean.assign(label=[f"c{number % 30}" for number in range(N_ROWS)], unit="cm", note="x" * 60)
    table.to_csv(tmp_path / "t.csv", index=False)
    inspect(InspectRequest(tmp_path / "t.csv", "label"), "table")
    shown = capsys.readouterr().out
    assert "\nTo check\n- column 'unit' is constant: it tells nothing; set it to ignore\n" in shown
    assert re.search(r"10 smaller classes .* \d+", shown)
    assert "class c0 " in shown
    assert "class c29 " not in shown
    assert f" {'x' * 21}... " in shown


def test_names_that_yaml_reads_as_something_else_are_quoted(tmp_path):
    names = ["yes", "1", "a: b", "#x", "null", "- y", "\x1b[0m"]
    table = pd.DataFrame(
        {name: np.random.default_rng(0).normal(size=40) for name in names} | {"label": ["a", "b"] * 20}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "own.yaml").write_text(init(InspectRequest(tmp_path / "t.csv", "label")))
    columns = load_experiment(tmp_path / "own.yaml", environ={}).dataset.columns
    assert list(columns) == ["yes", "1", "a: b", "#x", "null", "- y", "\\x1b[0m"]


@pytest.mark.parametrize("output", ["table", "markdown", "csv", "json"])
def test_every_format_is_printed(output, penguins, cli):
    done = cli("data", "inspect", penguins, "--target", "species", "--format", output)
    assert done.returncode == 0, done.stderr
    assert "bill_length_mm" in done.stdout
    if output == "json":
        assert json.loads(done.stdout)["class_counts"] == {"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}


def test_a_target_that_is_missing_is_refused_as_in_training(penguins, cli):
    done = cli("data", "init", penguins, "--target", "specis")
    assert done.returncode == 2
    assert "did you mean 'species'?" in done.stderr


def test_rows_of_a_test_file_that_are_training_rows_are_counted(clean, tmp_path):
    clean.to_csv(tmp_path / "t.csv", index=False)
    clean[:50].to_csv(tmp_path / "test.csv", index=False)
    request = InspectRequest(tmp_path / "t.csv", "label", str(tmp_path / "test.csv"))
    inspection = inspected(request.config())
    (found,) = inspection.findings
    assert found.startswith("50 of 50 test rows are equal to a training row")
    assert (inspection.n_rows, inspection.n_train_rows, sum(inspection.class_counts.values())) == (450, 400, 450)
    (tmp_path / "own.yaml").write_text(init(request))
    assert load_experiment(tmp_path / "own.yaml", environ={}).dataset.test_path == request.test_path
