from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.data.own.audit import accuracy_alone
from mlcli.data.own.inspection import inspected

N_ROWS = 400


@pytest.fixture
def clean():
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


def leaks(table, tmp_path, **settings):
    """Return the notes on leaks of a training, and all findings of an inspection."""
    table.to_csv(tmp_path / "t.csv", index=False)
    config = DatasetConfig(path=str(tmp_path / "t.csv"), target="label", **settings)
    start = "possible leak: "
    notes = [note.removeprefix(start) for note in own_dataset(config).notes if note.startswith(start)]
    return notes, list(inspected(config).findings)


def test_a_clean_table_has_no_leaks(clean, tmp_path):
    assert leaks(clean, tmp_path) == ([], [])


def test_a_column_that_alone_predicts_the_target_is_noted_in_training(clean, tmp_path):
    notes, _ = leaks(clean.assign(dose=np.where(clean["label"] == "good", 5.0, 1.0)), tmp_path)
    assert notes == ["column 'dose' alone predicts the target with accuracy 1.0000"]


def test_an_id_predicts_nothing_alone():
    y = np.arange(100) // 7 % 2
    assert accuracy_alone(np.arange(100), y) < 0.6
    assert accuracy_alone(y, y) == 1.0


def test_repeated_rows_are_noted_in_training(clean, tmp_path):
    notes, findings = leaks(pd.concat([clean, clean]), tmp_path)
    assert notes == findings
    n_repeated, _, n_test, *rest = notes[0].split()
    assert (n_test, " ".join(rest[:6])) == ("160", "test rows are equal to a")
    assert int(n_repeated) == pytest.approx(0.8 * 160, rel=0.1)  # where the other copy is in the training split
    assert leaks(pd.concat([clean.assign(pair=range(N_ROWS))] * 2), tmp_path, group="pair")[0] == []


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("inches", lambda table: table["height"] / 2.54 + 3, "'height' and 'inches' say the same, correlation 1.0000"),
        ("depth", lambda table: -table["height"].round(1), "'height' and 'depth' say the same, correlation -0.99"),
        ("farbe", lambda table: table["colour"].map({"red": "rot", "blue": "blau"}), "'colour' and 'farbe' say the"),
        ("noisy", lambda table: table["height"] + np.random.default_rng(1).normal(size=N_ROWS), None),
    ],
)
def test_columns_that_say_the_same_are_found(column, values, reason, clean, tmp_path):
    _, findings = leaks(clean.assign(**{column: values}), tmp_path)
    if reason is None:
        assert findings == []
    else:
        assert findings[0].startswith(f"columns {reason}")
        assert findings[0].endswith("set one to ignore")


def test_missing_values_do_not_hide_that_columns_say_the_same(clean, tmp_path):
    clean["height"] = clean["height"].mask(np.arange(N_ROWS) % 5 == 0)
    _, findings = leaks(clean.assign(inches=clean["height"] / 2.54), tmp_path)
    assert "say the same, correlation 1.0000" in findings[0]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("patient_id", lambda n: n % 50),
        ("patientId", lambda n: n % 50),
        ("where", lambda n: np.array([f"place {number % 50}" for number in n])),
    ],
)
def test_a_column_that_looks_like_groups_is_found_unless_it_decides_the_split(column, values, clean, tmp_path):
    table = clean.assign(**{column: values(np.random.default_rng(2).permutation(N_ROWS))})
    notes, findings = leaks(table, tmp_path)
    expected = f"100% of the rows outside the training split have a value of column {column!r} that is also in it"
    assert notes[0].startswith(expected)
    assert notes[0].endswith(f"split with --group {column}")
    assert findings == notes
    assert not any("--group" in text for found in leaks(table, tmp_path, group=column) for text in found)


@pytest.mark.parametrize("name", ["width", "valid", "identity", "grouped"])
def test_other_columns_of_numbers_do_not_look_like_groups(name, clean, tmp_path):
    assert leaks(clean.assign(**{name: np.random.default_rng(2).integers(50, size=N_ROWS)}), tmp_path) == ([], [])


@pytest.mark.parametrize("values", [np.arange(N_ROWS) / 7, -np.arange(N_ROWS) // 7])
def test_rows_in_the_order_of_a_column_are_found(values, clean, tmp_path):
    table = clean.assign(hours=values)
    _, findings = leaks(table, tmp_path)
    assert findings[0].startswith("the rows are in the order of column 'hours'")
    assert findings[0].endswith("split with --time hours")
    assert not any("order" in text for text in leaks(table, tmp_path, time="hours")[1])
