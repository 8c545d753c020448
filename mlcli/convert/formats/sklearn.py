"""The sklearn format: a skops file with a LogisticRegression or an MLPClassifier, ready to predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.convert.formats import FORMATS, ModelFormat, ScoreKind, TrainedModel, Usage, scaling_code
from mlcli.models.layers import Activation, Linear, Network
from mlcli.records import Scaling
from mlcli.registry import alternatives

Parameters = tuple[NDArray[np.floating], NDArray[np.floating]]  # weight (out, in) and bias (out,)

_OTHER_FORMATS = alternatives(name for name in FORMATS if name != "sklearn")
_ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}
# Attributes of an MLPClassifier that only training uses.
_TRAINING = ("_optimizer", "_random_state", "_no_improvement_count", "best_loss_", "loss_curve_", "loss_", "t_")


class SklearnFormat(ModelFormat):
    """Writes a .skops file; the scaling is in the code."""

    def unsupported_reason(self, network: Network) -> str | None:
        if network.kind not in ("logistic", "mlp"):
            return f"scikit-learn has no {network.kind}; use --to {_OTHER_FORMATS}"
        for layer in network.layers:
            if isinstance(layer, Activation) and layer.kind not in _ACTIVATIONS:
                return f"scikit-learn has no activation {layer.kind}; use --to {_OTHER_FORMATS}"
        return None

    def content(self, model: TrainedModel) -> bytes:
        import skops.io

        layers = _linear_layers(model)
        is_logistic = model.network.kind == "logistic"
        classifier = _logistic_regression(*layers[0]) if is_logistic else _mlp_classifier(model.network, layers)
        return skops.io.dumps(classifier)

    def usage(self, model: TrainedModel, path: str) -> Usage:
        has_logits = model.network.kind == "logistic" and model.network.n_classes > 2
        return _usage(model.scaling, model.precision, path, "logits" if has_logits else "probabilities")

    def estimator_usage(
        self, scaling: Scaling, precision: str, path: str, *, trusted: Sequence[str], has_probabilities: bool
    ) -> Usage:
        trust = f", trusted={list(trusted)!r}" if trusted else ""
        return _usage(scaling, precision, f"{path}{trust}", "probabilities" if has_probabilities else "labels")


def _usage(scaling: Scaling, precision: str, arguments: str, kind: ScoreKind) -> Usage:
    dtype = "float64" if scaling.is_per_feature else precision  # as engines scale: a tree decides by the last digit
    samples = f'x.reshape(len(x), -1).astype("{dtype}")'
    matrix = scaling_code(samples, scaling, f'np.array({{}}, dtype="{dtype}")')
    matrix = matrix if dtype == precision else f'({matrix}).astype("{precision}")'
    imports = "import numpy as np\nimport skops.io" if "np." in matrix else "import skops.io"
    methods = {"logits": "decision_function", "probabilities": "predict_proba"}
    scores = f"scores = model.{methods[kind]}(matrix)\n" if kind in methods else ""
    return Usage(
        load=f"{imports}\n\nmodel = skops.io.load({arguments})\n",
        score=f"matrix = {matrix}\n{scores}labels = model.predict(matrix)\n",
        kind=kind,
    )


def _linear_layers(model: TrainedModel) -> list[Parameters]:
    """Return weight and bias of each linear layer; for two classes, the last one has a single row.

    scikit-learn predicts two classes from the difference s of their scores: the probability of the second class is
    1 / (1 + exp(-s)), which equals the softmax of the two scores.
    """
    positions = [index for index, layer in enumerate(model.network.layers) if isinstance(layer, Linear)]
    layers = [(model.weights[f"{index}.weight"], model.weights[f"{index}.bias"]) for index in positions]
    if model.network.n_classes == 2:
        weight, bias = layers[-1]
        layers[-1] = weight[1:] - weight[:1], bias[1:] - bias[:1]
    return layers


def _logistic_regression(weight: NDArray[np.floating], bias: NDArray[np.floating]) -> Any:
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression()
    classifier.coef_, classifier.intercept_ = np.array(weight, order="C"), np.array(bias)
    classifier.classes_ = np.arange(max(2, len(weight)))
    classifier.n_features_in_ = weight.shape[1]
    return classifier


def _mlp_classifier(network: Network, layers: list[Parameters]) -> Any:
    from sklearn.neural_network import MLPClassifier

    (activation,) = {layer.kind for layer in network.layers if isinstance(layer, Activation)}
    hidden = tuple(len(bias) for _, bias in layers[:-1])
    classifier = MLPClassifier(hidden, activation=_ACTIVATIONS[activation])
    classes = np.arange(network.n_classes)
    # One step makes scikit-learn create all attributes that predicting needs; the weights are replaced afterwards.
    n_features = layers[0][0].shape[1]
    classifier.partial_fit(np.zeros((len(classes), n_features), dtype=layers[0][0].dtype), classes, classes=classes)
    classifier.coefs_ = [np.array(weight.T, order="C") for weight, _ in layers]
    classifier.intercepts_ = [np.array(bias) for _, bias in layers]
    for name in _TRAINING:
        vars(classifier).pop(name, None)
    return classifier
