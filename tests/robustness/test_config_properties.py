"""Any configuration is valid or refused with a clean error, and a resolved configuration resolves to itself."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcli.config.dump import config_digest, to_yaml
from mlcli.config.experiment import load_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import sections_of
from mlcli.errors import ConfigError
from mlcli.registry import BACKENDS

QUICK = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

KEYS = sorted(
    {
        key
        for section in [
            ExperimentConfig,
            *(s for name in ExperimentConfig.model_fields for s in sections_of(ExperimentConfig, name)),
        ]
        for key in section.model_fields
    }
)
WORDS = [
    "sgd",
    "adam",
    "adamw",
    "rmsprop",
    "lbfgs",
    "mlp",
    "cnn",
    "logistic",
    "estimator",
    "cosine",
    "step",
    "one_cycle",
]
WORDS += [
    "auto",
    "train",
    "test",
    "none",
    "unit",
    "cpu",
    "cuda",
    "iris",
    "fashion",
    "torch",
    "keras",
    "sklearn",
    "softmax",
]
NUMBERS = st.one_of(st.integers(), st.integers(1, 9), st.floats(), st.floats(0.01, 0.99))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(WORDS))
NAMES = st.one_of(st.sampled_from(KEYS), st.sampled_from(sorted(BACKENDS)), st.text(max_size=5), st.integers(0, 3))
TREES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(st.one_of(st.sampled_from(sorted(ExperimentConfig.model_fields)), NAMES), TREES, max_size=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("properties") / "x.yaml"


def refused(refusal):
    assert refusal.issues
    assert all(line.isprintable() for line in refusal.issues)


def resolved_or_refused(path, **sources):
    try:
        config = load_experiment(path, environ=sources.pop("environ", {}), **sources)
    except ConfigError as refusal:
        return refused(refusal)
    text = to_yaml(config)
    path.write_text(text, encoding="utf-8")
    again = load_experiment(path, environ={})
    assert again == config
    assert to_yaml(again) == text
    assert config_digest(again) == config_digest(config)
    assert hash(again) == hash(config)
    return config


@QUICK
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_load_or_are_refused(path, content):
    path.write_bytes(content)
    resolved_or_refused(path)


@QUICK
@given(text=st.text(alphabet=st.sampled_from(list("abn:-[]{},&*!<>|?'\"#%@\n\t 01.~\\")), max_size=60))
def test_any_yaml_like_text_loads_or_is_refused(path, text):
    path.write_text(text, encoding="utf-8")
    resolved_or_refused(path)


@QUICK
@given(document=DOCUMENTS, backend=st.sampled_from([*BACKENDS, None]))
def test_any_document_resolves_to_itself_or_is_refused(path, document, backend):
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    resolved_or_refused(path, flags={"backend": backend})


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-9, 10),
    "weight_decay": st.floats(0, 1),
    "momentum": st.floats(0.1, 0.9),
    "nesterov": st.booleans(),
    "beta1": st.floats(0, 0.99),
    "max_iter": st.integers(1, 500),
    "dropout": st.floats(0, 0.9),
    "final_fraction": st.floats(0, 0.5),
    "every_epochs": st.integers(1, 9),
    "limit": st.none() | st.integers(1, 500),
    "test": st.floats(0.1, 0.9) | st.just("train"),
    "epochs": st.integers(1, 50),
    "threads": st.integers(1, 8),
    "estimator": st.sampled_from(["SVC", "null", "True"]),
}
PLAIN_TEXT = st.text(st.characters(max_codepoint=0xD7FF, exclude_categories=["Cc"]), max_size=4)
VALUE = st.integers(-9, 9) | PLAIN_TEXT
MAPPING = st.dictionaries(PLAIN_TEXT.filter(lambda key: key != "<<"), VALUE, max_size=3)
PARAMETERS = st.dictionaries(st.sampled_from(["C", "null", "true", "_1"]), VALUE | MAPPING, max_size=3)


def valid_sections(key):
    """Return a strategy for the values of a key of the schema, with any of the settings in VALUES."""

    def settings_of(section):
        optional = {name: VALUES[name] for name in section.model_fields if name in VALUES}
        if "parameters" in section.model_fields:
            optional["parameters"] = PARAMETERS
        name = section.model_fields.get("name")
        fixed = {"name": st.just(name.default)} if name else {}
        fixed |= {name: optional.pop(name) for name in ("estimator", "momentum") if name in optional}
        return st.fixed_dictionaries(fixed, optional=optional)

    return st.one_of([settings_of(section) for section in sections_of(ExperimentConfig, key)])


SECTIONS = ("dataset", "model", "optimizer", "schedule", "training", "runtime")
VALID = st.fixed_dictionaries({}, optional={key: valid_sections(key) for key in SECTIONS})


@QUICK
@given(document=VALID, entry=VALID, seed=st.integers(0, 2**32 - 1))
def test_valid_documents_resolve_to_themselves(path, document, entry, seed):
    path.write_text(json.dumps({**document, "backends": {"keras": entry}}), encoding="utf-8")
    config = resolved_or_refused(path, environ={"MLCLI_SEED": str(seed)})
    assert config is not None
    assert (config.seed, config.backend) == (seed, "keras")
    if "lr" in entry.get("optimizer", {}):
        assert config.optimizer.lr == entry["optimizer"]["lr"]


@QUICK
@given(setting=st.text(max_size=20) | st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=12)))
def test_any_setting_is_accepted_or_refused(path, setting):
    path.write_text("seed: 1\n", encoding="utf-8")
    resolved_or_refused(path, settings=[setting])


@QUICK
@given(name=st.text(alphabet="ABCDEFGLRS_", max_size=10), value=st.text(max_size=10))
def test_any_variable_is_accepted_or_refused(path, name, value):
    path.write_text("seed: 1\n", encoding="utf-8")
    resolved_or_refused(path, environ={f"MLCLI_{name}": os.fsdecode(value.encode("utf-8", "surrogatepass"))})
