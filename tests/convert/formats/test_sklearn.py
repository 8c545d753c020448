"""Two classes in scikit-learn have one score, where every other engine has two."""

from __future__ import annotations

import numpy as np
import pytest
import skops.io
from scipy.special import softmax

from mlcli.config.schema import LogisticModel, MlpModel
from mlcli.convert.formats import TrainedModel
from mlcli.convert.formats.sklearn import SklearnFormat
from mlcli.models.layers import build_network
from mlcli.records import Scaling


@pytest.mark.parametrize("config", [LogisticModel(), MlpModel(hidden=(5,), activation="tanh")])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_the_softmax_of_the_scores(config, n_classes):
    generator = np.random.default_rng(0)
    network = build_network(config, (4,), n_classes)
    weights = {name: generator.normal(size=shape) for name, shape in network.parameter_shapes().items()}
    classifier = skops.io.loads(SklearnFormat().content(TrainedModel(network, weights, Scaling("none"), "float64")))
    x = generator.normal(size=(50, 4))

    hidden = x
    *inner, last = [name.split(".")[0] for name in weights if name.endswith("weight")]
    for index in inner:
        hidden = np.tanh(hidden @ weights[f"{index}.weight"].T + weights[f"{index}.bias"])
    logits = hidden @ weights[f"{last}.weight"].T + weights[f"{last}.bias"]
    np.testing.assert_allclose(classifier.predict_proba(x), softmax(logits, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(classifier.predict(x), logits.argmax(axis=1))
    assert len(np.unique(logits.argmax(axis=1))) > 1
