"""Weights of classes in the objective of training, the same for every engine.

With weights w, a batch of n samples with losses l contributes `sum(w[y] * l) / n`, and the whole training split
likewise. The sum is divided by the number of samples, as in Keras and in scikit-learn's logistic regression, and not
by the sum of the weights, as in PyTorch's `CrossEntropyLoss(weight)`: divided by the weights of its own batch, a sample
would count differently from batch to batch, and in a batch of one class like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def balanced_class_weights(y: NDArray[np.int64], n_classes: int) -> tuple[float, ...]:
    """Return `n / (k * n_c)` for each class c with n_c of the n samples, and 0 for a class without any.

    k is the number of classes that have samples.

    This is `class_weight="balanced"` of scikit-learn (King and Zeng, "Logistic Regression in Rare Events Data", 2001).
    The mean weight of the samples is 1. y: int64 (n,), classes from 0.
    """
    import numpy as np

    counts = np.bincount(y, minlength=n_classes)
    weights = len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return tuple(np.where(counts > 0, weights, 0.0).tolist())


def class_weights_note(weights: Sequence[float], class_names: Sequence[str]) -> str:
    """Return a note on the smallest and the largest weight of the classes that have samples."""
    found = sorted((weight, name) for weight, name in zip(weights, class_names, strict=True) if weight)
    (low, frequent), (high, rare) = found[0], found[-1]
    return (
        f"training weighs classes, from {low:.3g} ({frequent}) to {high:.3g} ({rare}); the losses and scores that are "
        "reported are not weighted"
    )
