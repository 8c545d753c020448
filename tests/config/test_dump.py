"""A configuration written out: YAML that loads back, plain data, a digest, and the schema for editors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from mlcli.config.dump import config_digest, json_schema, settings_by_key, to_dict, to_yaml
from mlcli.config.schema import Adam, CnnModel, EstimatorModel, ExperimentConfig, MlpModel, OneCycleSchedule, Sgd


def test_the_yaml_is_readable():
    config = ExperimentConfig(backend="torch", model=MlpModel(hidden=(64, 32)), optimizer=Adam(lr=0.001))
    assert to_yaml(config) == (
        "name: null\nbackend: torch\nseed: 0\n"
        "dataset:\n  name: digits\n  test: auto\n  validation: null\n  scaling: auto\n  limit: null\n  split_seed: 0\n"
        "model:\n  name: mlp\n  hidden: [64, 32]\n  activation: relu\n  dropout: 0.0\n  output: logits\n"
        "init_from: null\n"
        "optimizer:\n  name: adam\n  lr: 0.001\n  weight_decay: null\n"
        "  beta1: 0.9\n  beta2: 0.999\n  epsilon: 1.0e-08\n"
        "schedule: null\n"
        "training:\n  epochs: null\n  batch_size: null\n  early_stopping: null\n"
        "runtime:\n  device: auto\n  threads: null\n  precision: float32\n  deterministic: false\n"
    )


def test_every_setting_has_a_dotted_key():
    settings = settings_by_key(
        ExperimentConfig(backend="torch", model=MlpModel(hidden=(64, 32)), optimizer=Adam(lr=0.001))
    )
    assert (settings["seed"], settings["optimizer.lr"], settings["model.hidden"]) == (0, 0.001, [64, 32])
    assert not any(isinstance(value, dict) for value in settings.values())


ODD_TEXTS = [
    "1e-3",
    "12",
    "012",
    "0x1F",
    "true",
    "null",
    "",
    "~",
    "yes",
    "1:30",
    "2020-01-01",
    ".inf",
    "<<",
    "=",
    "- a",
    "a: b",
]
ODD_TEXTS += [
    "# a",
    " a ",
    "a\nb",
    "\t",
    "é",
    "\U0001f600",
    "\x1b[31m",
    "\x85",
    "'",
    '"',
    "*a",
    "&a",
    "!a",
    "%a",
    "@a",
    "9" * 90,
]


def test_text_that_looks_like_something_else_loads_back_as_text(load):
    parameters: dict[str, Any] = {"mapping": {text: text for text in ODD_TEXTS if text != "<<"}, "null": "null"}
    parameters |= {"list": ODD_TEXTS, "numbers": [0.1, 1e-30, 1e22, -0.5, 3, 2**40], "nested": {0: [], 1: {}}}
    config = ExperimentConfig(backend="sklearn", model=EstimatorModel(estimator="SVC", parameters=parameters))
    again = load(to_yaml(config))
    assert again == config
    assert config_digest(again) == config_digest(config)


@pytest.mark.parametrize(
    "config",
    [
        ExperimentConfig(backend="keras", name="1e5", seed=2**32 - 1),
        ExperimentConfig(
            backend="torch", model=CnnModel(channels=(8,)), schedule=OneCycleSchedule(), optimizer=Sgd(lr=1e-7)
        ),
    ],
)
def test_a_configuration_written_and_loaded_is_equal(load, config):
    assert load(to_yaml(config)) == config


def test_other_yaml_readers_see_the_same_numbers():
    config = ExperimentConfig(optimizer=Adam(lr=1e-5, epsilon=1e-30))
    assert yaml.safe_load(to_yaml(config)) == to_dict(config)


def test_plain_data_can_be_written_as_json():
    model = EstimatorModel(estimator="SVC", parameters={"a": [1, {"b": 2}]})
    data = to_dict(ExperimentConfig(model=model, backends={"torch": {}}))
    assert json.loads(json.dumps(data)) == data
    assert data["model"] == {"name": "estimator", "estimator": "SVC", "parameters": {"a": [1, {"b": 2}]}}
    assert data["backends"] == {"torch": {}}
    assert "backends" not in to_dict(ExperimentConfig())


def test_different_configurations_have_different_digests():
    def with_parameters(**parameters):
        return ExperimentConfig(model=EstimatorModel(estimator="SVC", parameters=parameters))

    configs = [
        ExperimentConfig(),
        ExperimentConfig(seed=1),
        ExperimentConfig(optimizer=Sgd()),
        with_parameters(a={1: 2}),
        with_parameters(a={"1": 2}),
        with_parameters(a=[[1, 2]]),
        with_parameters(a={"b": 1, 2: 3}),
    ]
    digests = {config_digest(config) for config in configs}
    assert len(digests) == len(configs)
    assert all(len(digest) == 64 for digest in digests)


def test_class_weights_count_only_if_they_are_set(load):
    """Earlier versions did not have the key, and their digests stay."""
    plain, balanced = load("training: {epochs: 3}"), load("training: {epochs: 3, class_weight: balanced}")
    assert "class_weight" not in to_dict(plain)["training"]
    assert settings_by_key(balanced)["training.class_weight"] == "balanced"
    assert config_digest(balanced) != config_digest(plain)


def test_the_digest_does_not_depend_on_how_it_was_written(load):
    first = load("optimizer: {lr: 1, name: sgd}\nseed: 3\n")
    second = load("seed: 3\noptimizer: {name: sgd, lr: 1.0, momentum: 0}\n")
    assert config_digest(first) == config_digest(second)


def accepts(schema, value, definitions):
    """Return whether a value is valid under a JSON Schema. Fails for keywords that the schema of mlcli does not use."""
    types = {"string": str, "integer": int, "number": int | float, "boolean": bool, "null": type(None)}
    types |= {"array": list, "object": dict}

    def fits(keyword, argument):
        match keyword:
            case "$ref":
                return accepts(definitions[argument.removeprefix("#/$defs/")], value, definitions)
            case "anyOf":
                return any(accepts(member, value, definitions) for member in argument)
            case "type":
                return isinstance(value, types[argument]) and (argument == "boolean" or not isinstance(value, bool))
            case "const":
                return value == argument
            case "enum":
                return value in argument
            case "properties":
                return all(accepts(argument[key], value[key], definitions) for key in argument if key in value)
            case "additionalProperties":
                others = [item for key, item in value.items() if key not in schema.get("properties", {})]
                return (
                    not others
                    if argument is False
                    else argument is True or all(accepts(argument, item, definitions) for item in others)
                )
            case "patternProperties":
                matching = [
                    (item, below) for key, item in value.items() for p, below in argument.items() if re.search(p, key)
                ]
                return all(accepts(below, item, definitions) for item, below in matching)
            case "propertyNames":
                return all(accepts(argument, key, definitions) for key in value)
            case "items":
                return all(accepts(argument, item, definitions) for item in value)
            case "minItems":
                return len(value) >= argument
            case "minimum" | "exclusiveMinimum":
                return value > argument or (keyword == "minimum" and value == argument)
            case "exclusiveMaximum":
                return value < argument
            case "pattern" | "description" | "default" | "title" | "$defs" | "$schema":
                return True
        raise AssertionError(f"the schema uses {keyword}, which this test does not know")

    ordered = sorted(schema.items(), key=lambda item: item[0] not in ("type", "$ref"))
    return all(fits(keyword, argument) for keyword, argument in ordered)


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ("seed: 1", True),
        ("{extends: base.yaml, dataset: fashion, model: mlp, optimizer: adam, schedule: cosine}", True),
        ("{extends: [a.yaml, b.yaml], optimizer: {lr: 0.1}, model: {hidden: [8, 4]}}", True),
        ("backends: {torch: null, sklearn: {optimizer: {name: lbfgs}}, keras: {model: cnn}}", True),
        ("{dataset: {test: 0.2, validation: test}, optimizer: null, runtime: {device: cpu}}", True),
        ("model: {name: estimator, parameters: {C: 1}}", True),
        ("sede: 1", False),
        ("seed: '1'", False),
        ("training: {epoch: 1}", False),
        ("optimizer: {name: sgd, decay: 0.5}", False),
        ("optimizer: {name: adm}", False),
        ("optimizer: {lr: -1}", False),
        ("dataset: {test: 1.5}", False),
        ("backends: {tf: {}}", False),
        ("backends: {torch: {training: {epoch: 1}}}", False),
        ("backends: {torch: {backend: keras}}", False),
        ("extends: 5", False),
    ],
)
def test_the_json_schema_accepts_the_same_files_as_the_loader(text, is_accepted):
    schema = json_schema()
    assert accepts(schema, yaml.safe_load(text), schema["$defs"]) is is_accepted


def test_the_json_schema_names_its_draft_and_describes_keys():
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert all(prop["description"] for prop in schema["properties"].values())
