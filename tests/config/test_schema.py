"""Every key of the schema is documented, and configurations are immutable values."""

from __future__ import annotations

import copy
import pickle

import pytest

from mlcli.config.schema import EstimatorModel, ExperimentConfig
from mlcli.config.validation import sections_of


def all_sections(owner=ExperimentConfig):
    found = {owner}
    for key in owner.model_fields:
        for section in sections_of(owner, key):
            found |= all_sections(section)
    return found


def test_every_key_is_described():
    assert len(all_sections()) == 19
    silent = [
        f"{s.__name__}.{key}" for s in all_sections() for key, field in s.model_fields.items() if not field.description
    ]
    assert silent == []


def test_configurations_are_hashable_copied_and_pickled():
    model = EstimatorModel(estimator="SVC", parameters={"class_weight": {0: 1.0}, "a": [1, [2]]})
    config = ExperimentConfig(model=model, backends={"torch": {"training": {"epochs": 1}}})
    copies = {config, copy.deepcopy(config), pickle.loads(pickle.dumps(config))}
    assert copies == {config}


def test_parameters_cannot_be_changed():
    parameters = EstimatorModel(estimator="SVC", parameters={"C": 1}).parameters
    for change in ("clear", "popitem", "update", "setdefault", "pop", "__setitem__", "__delitem__", "__ior__"):
        with pytest.raises(TypeError, match="cannot change"):
            getattr(parameters, change)("C", 2)
    assert parameters == {"C": 1}
