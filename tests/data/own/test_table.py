from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.errors import DataError, UsageError
from tests.fixtures.tables import rows_of_split

ROWS = [f"{number},{'ab'[number % 2]},{'xy'[number // 2 % 2]}" for number in range(40)]


def dataset_of(path, lines, target="t", **settings):
    path.write_text("\n".join(lines) + "\n")
    return own_dataset(DatasetConfig(path=str(path), target=target, **settings))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


def test_the_split_is_stratified_as_for_every_dataset(penguins):
    dataset = own_dataset(DatasetConfig(path=str(penguins), target="species", validation=0.25))
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [206, 69, 69]
    assert np.bincount(dataset.test.y).tolist() == [30, 14, 25]
    table = pd.read_csv(penguins)
    _, test = rows_of_split(penguins, "species")
    found = dataset.test.x[:, dataset.info.feature_names.index("year")]
    assert found.tolist() == table["year"].iloc[test].tolist()


def test_classes_are_sorted_by_number_or_as_text_and_kept_apart_by_case_and_blanks(path):
    numbers = [f"{number},{(10, 9, 1.5)[number % 3]}" for number in range(30)]
    assert dataset_of(path, ["n,t", *numbers]).info.class_names == ("1.5", "9", "10")
    texts = [f"{number},{('Yes', 'yes', 'yes ', 'no')[number % 4]}" for number in range(40)]
    dataset = dataset_of(path, ["n,t", *texts])
    assert dataset.info.class_names == ("Yes", "no", "yes", "yes ")
    similar = "'Yes' and 'yes' and 'yes '"
    assert dataset.notes[-1] == f"labels that differ only in case or blanks are different classes: {similar}"


def test_notes_say_how_each_column_is_understood(path):
    rows = [f"u{number},{row},2024-01-{number % 28 + 1:02}" for number, row in enumerate(ROWS)]
    assert dataset_of(path, ["id,n,t,c,day", *rows]).notes == (
        "columns: 1 numeric (n), 1 date (day), 1 categorical (c); dataset.columns changes kinds",
        "ignored columns: 'id' has no value in 5 training rows or more, as ids and free text",
    )


@pytest.mark.parametrize(
    ("texts", "is_number"),
    [(["0,5", "1,25", "3"], True), (["-1.234,5"], True), (["a,5", "1,2"], False), (["1, 2"], False)],
)
def test_numbers_with_commas_are_neither_categories_nor_ids(texts, is_number, path):
    rows = [f"{number};{texts[number % len(texts)]};{'ab'[number % 2]}" for number in range(60)]
    notes = dataset_of(path, ["n;price;t", *rows]).notes
    ignored = "ignored columns: 'price' holds numbers with commas; write them like 1234.5, or set its kind"
    assert (ignored in notes) == is_number
    assert ("categorical (price)" in notes[0]) != is_number


def test_a_first_line_with_a_number_is_data_unless_it_names_the_target_or_is_said_to_be_the_header(path):
    dataset = dataset_of(path, ROWS, target="column 2")
    assert (dataset.info.n_train + dataset.info.n_test, dataset.info.class_names) == (40, ("a", "b"))
    assert dataset.info.feature_names == ("column 1", "column 3=x", "column 3=y")
    assert dataset.info.encoding.has_header is False
    assert dataset.notes[0] == (
        "no header: the first line holds the number 0, so the columns are column 1 to column 3; dataset.header=true "
        "takes their names from that line"
    )
    for header, settings in [("2024,t,c", {}), ("2024,2025,2026", {"target": "2025", "header": True})]:
        dataset = dataset_of(path, [header, *ROWS], **settings)
        assert (len(dataset.train) + len(dataset.test), dataset.info.encoding.has_header) == (40, True)
        assert not any("header" in note for note in dataset.notes)
    texts = [f"{'pq'[number % 2]},{'xy'[number // 2 % 2]},{'xy'[number // 2 % 2]}" for number in range(40)]
    assert len(dataset_of(path, texts, "column 1", header=False).test) == 8
    with pytest.raises(DataError, match=r"column 'x' appears more than once.*\n.*--set dataset.header=false"):
        dataset_of(path, texts, "column 1")


def test_an_unknown_target_says_whether_the_first_line_was_taken_as_data(path):
    for lines, target, message in [
        (
            ROWS,
            "species",
            "taken as data as it holds the number 0; if it names the columns, set dataset.header to true",
        ),
        (["a,b,c", *ROWS], "column 2", "its columns: a, b, c\nif the first line does not name the columns, set"),
    ]:
        with pytest.raises(UsageError, match=message):
            dataset_of(path, lines, target)


def test_texts_that_differ_after_100_characters_are_different_categories_and_no_labels(path):
    long = "a" * 120
    rows = [f"{number},{'ab'[number % 2]},{long}{'xy'[number // 2 % 2]}" for number in range(40)]
    names = dataset_of(path, ["n,t,c", *rows]).info.feature_names
    assert len(set(names)) == 3
    assert all(len(name) == len("c=") + 100 for name in names[1:])
    with pytest.raises(DataError, match=r"t\.csv: a label of 121 characters, 'a{37}\.\.\.'; use labels of at most 100"):
        dataset_of(path, ["n,c,t", *rows])


def test_kinds_and_missing_texts_can_be_changed(path):
    rows = [f"{number % 3},NA,{'ab'[number % 2]}" if number % 2 else f"{number % 3},DE,a" for number in range(60)]
    dataset = dataset_of(path, ["n,country,t", *rows], missing=("",), columns={"n": "categorical"})
    assert dataset.info.feature_names == ("n=0", "n=1", "n=2", "country=DE", "country=NA")
    dataset = dataset_of(path, ["n,country,t", *rows], columns={"n": "ignore"})
    assert dataset.info.feature_names == ("country=DE", "country (missing)")


def test_a_table_is_read_again_only_if_it_changes(path, monkeypatch):
    first = dataset_of(path, ["n,t,c", *ROWS])
    assert own_dataset(DatasetConfig(path=str(path), target="t")) is first
    assert dataset_of(path, ["n,t,c", *ROWS, "41,a,x"]).fingerprint != first.fingerprint


def test_the_limit_takes_the_first_training_rows(path):
    dataset = dataset_of(path, ["n,t,c", *ROWS], limit=12)
    assert len(dataset.train) == 12
    np.testing.assert_allclose(dataset.scaling.shift[0], dataset.train.x[:, 0].mean())


@pytest.mark.parametrize(
    ("header", "rows", "settings", "message"),
    [
        ("n,t,c", [], {}, "no rows below the header"),
        ("n,t,c", [row.replace("b", "a") for row in ROWS], {}, "the target has one class, 'a'; a classifier needs two"),
        ("n,t,c", [*ROWS, "9,z,x"], {}, "classes with one row, .*: 'z'\nremove these rows"),
        ("n,t,c", [*ROWS, "9,,x"], {}, r"row 41 \(from 1\): the label is missing, as in 1 of 41 rows\n"),
        ("n,t,c", [*ROWS, "9,nan,x"], {}, r"row 41 \(from 1\): the label is missing"),
        ("n,t", [f"{n},{n / 7}" for n in range(1500)], {}, "1,500 different values, .* regression"),
        (
            "n,t",
            [f"{n},{n / 7}" for n in range(50)],
            {},
            r"classes with one row, .*\nto predict a number is regression",
        ),
        ("t", list("abab"), {}, "no column is left to learn from: there is only the target"),
        ("n,t,c", ROWS, {"columns": {"n": "ignore", "c": "ignore"}}, "no column is left .*: 'n' is set to be ignored"),
        ("n,t,c", [row.replace("4,", "old,", 1) for row in ROWS], {}, "column 'n': .* are numbers, and others are not"),
        ("n,t,c", ROWS, {"columns": {"c": "numeric"}}, r"row \d+ \(from 1\), column 'c': '[xy]', expected a number"),
    ],
)
def test_a_table_that_no_classifier_can_learn_from_is_refused(header, rows, settings, message, path):
    with pytest.raises(DataError, match=message) as caught:
        dataset_of(path, [header, *rows], **settings)
    assert str(caught.value).count(path.name) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "specis"}, "dataset.target: .*t.csv has no column 'specis'\nits columns: n, t, c"),
        ({"target": "T"}, "has no column 'T' (did you mean 't'?)"),
        ({"columns": {"nn": "ignore"}}, "dataset.columns: .*t.csv has no column 'nn' (did you mean 'n'?)"),
        ({"columns": {"t": "numeric"}}, "dataset.columns: 't' is the target; its labels are always text"),
    ],
)
def test_a_column_that_the_file_lacks_is_refused(settings, message, path):
    with pytest.raises(UsageError, match=re.escape(message).replace(r"\.\*", ".*")):
        dataset_of(path, ["n,t,c", *ROWS], **{"target": "t"} | settings)


def test_numbers_that_engines_cannot_tell_apart_are_refused(path):
    rows = [f"{number}e-30,{'ab'[number % 2]}" for number in range(40)]
    with pytest.raises(DataError, match="column 'n': its values differ by less than 1e-18; use another unit"):
        dataset_of(path, ["n,t", *rows])


def test_categories_whose_texts_are_too_long_to_be_stored_are_refused(path):
    rows = [",".join([*[f'"{"," * 90}{number % 80}"'] * 3, "ab"[number % 2]]) for number in range(800)]
    with pytest.raises(DataError, match="t.csv: the names of its columns and categories are too long; ignore columns"):
        dataset_of(path, ["c,d,e,t", *rows])


@pytest.fixture
def parts(tmp_path):
    """Return the dataset of three files: a training file of 30 rows, and one each for test and validation."""

    others = ["t,c,n", *(f"{row[-3]},{row[-1]},{row.partition(',')[0]}" for row in ROWS[30:36])]

    def dataset(test=others, **settings):
        contents = {"train": ["n,t,c", *ROWS[:30]], "test": test, "validation": ["n,t,c", *ROWS[36:]]}
        for name, lines in contents.items():
            (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        paths = {f"{name}_path": str(tmp_path / f"{name}.csv") for name in ("test", "validation")}
        return own_dataset(DatasetConfig(path=str(tmp_path / "train.csv"), target="t", **paths, **settings))

    return dataset


def test_a_file_for_each_part_is_that_split_with_columns_by_name_and_the_preparation_of_the_training_file(parts):
    dataset = parts()
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [30, 4, 6]
    assert (dataset.info.n_train, dataset.info.n_validation, dataset.info.n_test) == (30, 4, 6)
    assert dataset.train.x[:, 0].tolist() == list(range(30))
    assert dataset.test.x[:, 0].tolist() == list(range(30, 36))
    assert dataset.validation.x[:, 0].tolist() == list(range(36, 40))
    assert dataset.test.y.tolist() == [0, 1] * 3
    assert dataset.scaling.shift[0] == np.mean(range(30))
    assert dataset.notes[-1].startswith("columns: ")


def test_each_file_counts_in_the_fingerprint(parts, tmp_path):
    first = parts().fingerprint
    assert parts(test=("n,t,c", *ROWS[30:35])).fingerprint != first
    alone = own_dataset(DatasetConfig(path=str(tmp_path / "train.csv"), target="t"))
    assert alone.fingerprint not in (first, parts().fingerprint)
    assert parts().fingerprint == first


def test_columns_and_categories_that_only_the_test_file_has_are_noted(parts):
    notes = parts(test=("id,n,c,t", *[f"{n},{n},z,{'ab'[n % 2]}" for n in range(6)])).notes
    assert [note.partition("test.csv: ")[2] for note in notes[:2]] == [
        "columns that the training file lacks are ignored: 'id'",
        "values that are none of the categories of the training rows: c (6)",
    ]


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (("n,t", "1,a", "2,b"), "test.csv: missing columns: 'c'"),
        (("n,c", "1,x", "2,y"), "test.csv: missing columns: 't'"),
        (("n,t,c", "1,a,x", "2,z,y"), "test.csv: labels that are no classes of the training data: 'z'"),
        (("n,t,c", "1,a,x", "2,,y"), "test.csv: row 2 .*: the label is missing"),
        (("n,t,c", "one,a,x", "2,b,y"), "test.csv: row 1 .*, column 'n': 'one', expected a number"),
        (("n,t,c",), "test.csv: no rows below the header"),
        (ROWS, "test.csv: missing columns: 'n', 'c', 't'\nits first line holds the number 0: it must name the columns"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused_by_its_name(test, message, parts):
    with pytest.raises(DataError, match=message) as caught:
        parts(test=test)
    assert "train.csv" not in str(caught.value)


def test_a_class_with_one_row_can_be_learned_if_the_test_rows_have_a_file(path, tmp_path):
    rare = ["n,t,c", *ROWS, "9,z,x"]
    with pytest.raises(DataError, match="classes with one row"):
        dataset_of(path, rare)
    (tmp_path / "test.csv").write_text("\n".join(["n,t,c", *ROWS]))
    assert dataset_of(path, rare, test_path=str(tmp_path / "test.csv")).info.class_names == ("a", "b", "z")
