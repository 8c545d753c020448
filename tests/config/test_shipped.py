"""Names of configurations, and the files that they stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcli.config.shipped import (
    config_file,
    content_elsewhere,
    description,
    find_config,
    shipped_configs,
    similar_names,
)
from mlcli.errors import UsageError


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_name_is_a_file_here_before_it_is_a_shipped_configuration():
    shipped = shipped_configs()["digits_mlp"]
    assert config_file("digits_mlp") == shipped
    Path("digits_mlp.yaml").write_text("seed: 1\n")
    assert config_file("digits_mlp") == Path("digits_mlp.yaml")
    Path("digits_mlp").write_text("seed: 2\n")
    assert config_file("digits_mlp") == Path("digits_mlp")


def test_a_directory_does_not_hide_a_shipped_configuration():
    Path("digits_mlp").mkdir()
    assert config_file("digits_mlp") == shipped_configs()["digits_mlp"]


@pytest.mark.parametrize("name", ["missing.yaml", "folder/missing.yml", "folder/missing"])
def test_a_path_stays_a_path_even_if_there_is_no_such_file(name):
    assert find_config(name) == Path(name)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="unknown configuration 'digit_mlp' .did you mean 'digits_mlp'"):
        find_config("digit_mlp")
    assert config_file("digit_mlp") is None  # it may be a run
    with pytest.raises(UsageError) as error:
        find_config("x" * 100_000)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", shipped_configs())
def test_each_has_a_description_of_one_or_two_sentences(name):
    text = description(shipped_configs()[name])
    assert text[0].isupper()
    assert text.endswith(".")
    assert 40 < len(text) < 250
    assert "#" not in text


def test_in_another_folder_only_the_address_of_the_schema_differs():
    path = shipped_configs()["digits_mlp"]
    first, *others = content_elsewhere(path).splitlines()
    assert first.startswith("# yaml-language-server: $schema=file:///")
    assert others == path.read_text().splitlines()[1:]


def test_a_run_that_does_not_exist_may_be_a_misspelt_configuration():
    with pytest.raises(UsageError) as error, similar_names(["20260101T000000Z_digits_mlp_torch_s0", "iris_logistics"]):
        raise UsageError("no run")
    assert error.value.__notes__ == ["did you mean the configuration 'iris_logistic'? mlcli config list shows all"]
