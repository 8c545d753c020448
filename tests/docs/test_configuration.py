"""The tables of docs/configuration.md are those of the schema and of the registry."""

from __future__ import annotations

import re

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.config.shipped import shipped_configs
from mlcli.config.validation import sections_of
from mlcli.engines.sklearn.composition import SCORINGS, TRANSFORMERS
from mlcli.registry import BACKENDS, MODELS
from tests.fixtures.pages import read, section, table

PAGE = "docs/configuration.md"


def test_the_table_of_keys_is_that_of_the_schema():
    """A key that is added to the schema must be added to the page."""
    assert table(section(PAGE, "Keys")) == list(key_rows(ExperimentConfig))


@pytest.mark.parametrize(
    ("title", "key"), [("Models", "model"), ("Optimizers", "optimizer"), ("Schedules", "schedule")]
)
def test_the_tables_of_sections_with_a_name_are_those_of_the_schema(title, key):
    assert table(section(PAGE, title)) == list(choice_rows(key))


def key_rows(model, prefix=""):
    """Yield the row of every key: itself, its default and its meaning; without keys that depend on a name."""
    for key, field in model.model_fields.items():
        below = sections_of(model, key)
        if len(below) != 1 or field.default is None:
            yield [f"`{prefix}{key}`", _default(field), field.description]
        if len(below) == 1:
            yield from key_rows(below[0], f"{prefix}{key}.")


def choice_rows(key):
    """Yield a row for every name that a section can have, followed by one for each of its settings."""
    for choice in sections_of(ExperimentConfig, key):
        name = choice.model_fields["name"]
        yield [f"`{name.default}`", "", "", name.description]
        for setting, field in choice.model_fields.items():
            if setting != "name":
                yield ["", f"`{setting}`", _default(field), field.description]


def _default(field):
    return "required" if field.is_required() else f"`{_written(field.get_default(call_default_factory=True))}`"


def _written(default):
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return getattr(default, "name", None) or str(default)


def test_the_table_of_engines_is_that_of_the_registry():
    rows = {row[0].strip("`"): row[1:] for row in table(section(PAGE, "Models and optimizers by engine"))}
    assert list(rows) == list(MODELS)
    for model, cells in rows.items():
        for cell, engine in zip(cells, BACKENDS.values(), strict=True):
            assert tuple(re.findall(r"`(\w+)`", cell)) == engine.optimizers.get(model, ())
            assert bool(cell) == (model in engine.optimizers)


def test_the_transformers_and_the_scorings_are_those_that_can_be_used():
    text = re.sub(r"\s+", " ", section(PAGE, "Estimators"))
    named = re.search(r"these can be nested: (.*?)\. ", text)[1].split(", ")
    assert named == sorted(name for names in TRANSFORMERS.values() for name in names)
    scorings = re.search(r"scores of a search other than ([\w, ]+)\.", text)[1].replace(" and ", ", ")
    assert tuple(scorings.split(", ")) == SCORINGS


def test_the_shipped_configurations_are_listed_with_the_accuracy_that_is_checked():
    rows = table(section(PAGE, "Shipped configurations"))
    assert [row[0].strip("`") for row in rows] == sorted(shipped_configs())
    checks = read("tests/benchmarks/accuracy.py")
    for name, _, figure in rows:
        assert f'"{name.strip("`")}", "{figure.split("`")[1]}"' in checks
