from __future__ import annotations

from pathlib import Path

import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.config.dump import config_digest, to_yaml
from mlcli.errors import ConfigError

OWN = "dataset: {path: t.csv, target: label, columns: {id: ignore}}\n"


def test_a_path_takes_the_place_of_the_name(load):
    dataset = load(OWN).dataset
    assert (dataset.name, dataset.path, dataset.target, dataset.columns) == (None, "t.csv", "label", {"id": "ignore"})


def test_a_path_is_relative_to_the_file_that_states_it(load):
    Path("below").mkdir()
    Path("below/base.yaml").write_text(OWN)
    assert load("extends: below/base.yaml").dataset.path == "below/t.csv"
    assert load("extends: below/base.yaml", flags={"dataset.path": "u.csv"}).dataset.path == "u.csv"
    Path("below/base.yaml").write_text("backends: {torch: {dataset: {path: t.csv, target: label}}}")
    assert load("extends: below/base.yaml").dataset.path == "below/t.csv"
    assert load(OWN.replace("t.csv", "/t.csv")).dataset.path == "/t.csv"


def test_a_name_replaces_a_table_and_a_table_replaces_a_name(load):
    dataset = load(OWN, flags={"dataset.name": "iris"}).dataset
    assert dataset == DatasetConfig(name="iris")
    flags = {"dataset.path": "t.csv", "dataset.target": "label"}
    dataset = load("dataset: {name: iris, validation: 0.2}", flags=flags).dataset
    assert dataset == DatasetConfig(path="t.csv", target="label", validation=0.2)
    assert load(OWN, flags={"dataset.path": "u.csv"}).dataset.columns == {"id": "ignore"}


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("dataset: {path: t.csv}", "1:10: dataset: the target is missing: name the column with the labels"),
        ("dataset: {name: null}", "1:10: dataset: a name or a path is required"),
        ("dataset: {name: iris, path: t.csv, target: t}", "1:10: dataset: has both the name iris and a path"),
        (
            "dataset: {name: iris, target: t}",
            "1:10: dataset: target: only for data of your own: add their path, not iris",
        ),
        ("dataset: {path: t.npz, encoding: codes}", "1:10: dataset: encoding is for tables, and the path is that of"),
        ("dataset: {path: t.npz, header: false}", "1:10: dataset: header is for tables in text files, and the path is"),
        ("dataset: {path: t.parquet, target: t, header: true}", "1:10: dataset: header is for tables in text files"),
        ("dataset: {path: '', target: t}", "1:17: dataset.path: must be the path of a file, got ''"),
        ("dataset: {path: 't\\e.csv', target: t}", None),
        (
            "dataset: {path: t.csv, target: t, columns: {a: text}}",
            "1:48: dataset.columns.a: must be one of numeric, boolean, date, categorical, ignore, got 'text'",
        ),
        ("dataset: {name: iris, on_bad: skip}", "1:10: dataset: on_bad: only for data of your own"),
        (
            "dataset: {path: t.csv, target: t, image_size: 64}",
            "1:10: dataset: image_size and channels are for folders of images",
        ),
        (
            "dataset: {path: t, image_size: 64x}",
            "1:32: dataset.image_size: must be a number of pixels or HxW (height x width), each side from 1 to 4096",
        ),
        ("dataset: {path: t, image_size: [0, 64]}", "1:32: dataset.image_size: must be a number of pixels or HxW"),
        ("dataset: {path: t, channels: 2}", "1:30: dataset.channels: must be 1, 3 or null, got 2"),
        ("dataset: {path: t.csv, target: t, missing: NA}", "1:44: dataset.missing: must be a list, got 'NA'"),
        ("dataset: {path: t.csv, target: t, column: {}}", "1:35: dataset.column: unknown key (did you mean 'columns'"),
    ],
)
def test_what_is_wrong_in_a_dataset_is_reported_with_its_location(issues, text, issue):
    if issue is None:
        text, issue = text.replace("'", '"'), "1:17: dataset.path: must be the path of a file, got 't\\x1b.csv'"
    assert [line[: len(issue) + 7] for line in issues(text)] == [f"x.yaml:{issue}"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a/b/t.csv", "t"),
        ("my data (1).csv.gz", "my_data_1"),
        ("..csv", "table"),
        ("photos/", "photos"),
        ("é.csv", "table"),
        ("x" * 99, "x" * 40),
    ],
)
def test_the_label_of_a_table_is_the_stem_of_its_file(path, label):
    assert DatasetConfig(path=path, target="t").label == label


def test_the_folder_of_a_table_does_not_enter_the_digest_but_its_settings_do(load):
    here, there = load(OWN), load(OWN.replace("t.csv", "/elsewhere/t.csv"))
    assert config_digest(here) == config_digest(there)
    assert config_digest(here) != config_digest(load(OWN.replace("ignore", "categorical")))


def test_a_table_is_dumped_without_a_name_and_a_name_without_a_table(load):
    assert load(to_yaml(load(OWN))) == load(OWN)
    assert "name: iris" in to_yaml(load("dataset: iris"))
    keys = {line.strip().split(":")[0] for line in to_yaml(load("seed: 0")).splitlines()}
    assert not keys & {"path", "target", "columns", "missing"}


@pytest.mark.parametrize(("size", "pixels"), [("64", (64, 64)), ("48x64", (48, 64)), ("[48, 64]", (48, 64))])
def test_the_size_of_images_is_a_number_or_height_by_width(load, size, pixels):
    config = load(f"dataset: {{path: photos, image_size: {size}}}")
    assert config.dataset.image_size == pixels
    assert load(to_yaml(config)) == config
    assert load("dataset: {path: photos}", flags={"dataset.image_size": size.strip("[]").replace(", ", "x")}) == config


def test_keys_that_only_later_versions_know_are_not_dumped_unless_set(load):
    """So an earlier run on a table has the digest of the same settings today."""
    assert "on_bad" not in to_yaml(load(OWN))
    assert "on_bad: skip" in to_yaml(load(OWN, flags={"dataset.on_bad": "skip"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("group: a, time: b", "group and time each decide the splits; remove one"),
        ("group: a, time: b, split_column: c", "group and time and split_column each decide the splits; remove two"),
        ("split_column: a, test: 0.1", "split_column and test both choose the test split; remove one of them"),
        ("split_column: a, folds: 3", "split_column and folds both choose the test split; remove one of them"),
        ("group: a, test: train", "group has no effect if the test scores are those of the training data"),
    ],
)
def test_split_methods_that_contradict_each_other_are_refused(issues, settings, message):
    assert message in issues(f"dataset: {{path: t.csv, target: t, {settings}}}")[0]


def test_only_tables_have_columns_that_decide_the_splits(issues):
    assert (
        "dataset: group: only for data of your own: add their path, not iris"
        in issues("dataset: {name: iris, group: a}")[0]
    )


PARTS = "dataset: {path: t.csv, test_path: u.csv, validation_path: v.csv, target: label}\n"


def test_files_for_the_parts_are_relative_to_the_file_that_states_them(load):
    Path("below").mkdir()
    Path("below/base.yaml").write_text(PARTS)
    flags = {"dataset.validation_path": "w.csv"}
    dataset = load("extends: below/base.yaml", flags=flags).dataset
    assert (dataset.path, dataset.test_path, dataset.validation_path) == ("below/t.csv", "below/u.csv", "w.csv")
    assert load(PARTS, flags={"dataset.name": "iris"}).dataset == DatasetConfig(name="iris")


def test_files_for_the_parts_enter_the_digest_by_name_and_are_dumped_only_if_set(load):
    assert load(to_yaml(load(PARTS))) == load(PARTS)
    assert config_digest(load(PARTS)) == config_digest(load(PARTS.replace("u.csv", "/elsewhere/u.csv")))
    assert config_digest(load(PARTS)) != config_digest(load(PARTS.replace("u.csv", "w.csv")))
    assert "test_path" not in to_yaml(load(OWN))
    assert "test_path" not in to_yaml(load("seed: 0"))


def test_arrays_need_no_target():
    assert DatasetConfig(path="a.npz").target is None
    assert DatasetConfig(path="folder").target is None


@pytest.mark.parametrize(
    ("settings", "issue"),
    [
        ("path: t.csv, target: t, test_path: u.csv, test: 0.2", "test_path and test both choose the test split"),
        ("path: t.csv, target: t, test_path: u.csv, test: train", "test_path and test both choose the test split"),
        ("path: t.csv, target: t, test_path: u.csv, folds: 3", "test_path and folds both choose the test split"),
        ("path: t, validation_path: u, validation: 0.1", "validation_path and validation both choose the validation"),
        ("name: iris, test_path: u.csv", "test_path: only for data of your own: add their path, not iris"),
    ],
)
def test_two_choices_of_one_split_are_refused_by_name(issues, settings, issue):
    (found,) = issues(f"dataset: {{{settings}}}")
    assert f"dataset: {issue}" in found


@pytest.mark.parametrize("key", ["test_path", "validation_path", "path"])
def test_an_issue_names_the_option_of_a_file(load, key):
    option = f"--{key}".replace("_path", "-data").replace("path", "data")
    with pytest.raises(ConfigError, match=f"^{option}: must be the path of a file"):
        load("seed: 0", flags={f"dataset.{key}": ""})


def test_the_label_of_the_working_directory_is_its_name(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path / "photos")
    assert DatasetConfig(path=".").label == "photos"
