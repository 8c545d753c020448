"""The sizes of splits, known from the configuration and the description of a dataset, without reading it."""

from __future__ import annotations

from mlcli.config.schema import DatasetConfig
from mlcli.errors import UsageError
from mlcli.records import DatasetInfo

DEFAULT_TEST_FRACTION = 0.2


def split_size(name: str, fraction: float, n_samples: int) -> int:
    """Return how many of n_samples a stratified split picks; UsageError if it picks none, or leaves none."""
    n = round(fraction * n_samples)
    if not 0 < n < n_samples:
        problem = "selects none" if n == 0 else "leaves none for training"
        raise UsageError(f"dataset.{name}: {fraction:g} of {n_samples} samples {problem}; choose another fraction")
    return n


def fraction_for_test(config: DatasetConfig, n_test: int) -> float | None:
    """Return the fraction of the training samples that becomes the test split; None if there is no such split.

    n_test: the samples of the dataset's own test set, 0 if it has none.
    """
    if config.test == "auto":
        return None if n_test else DEFAULT_TEST_FRACTION
    return None if config.test == "train" else config.test


def n_training_samples(config: DatasetConfig, info: DatasetInfo) -> int:
    """Return the size of the training split; UsageError for a split without samples."""
    n = info.n_train
    fraction = fraction_for_test(config, info.n_test)
    if fraction is not None:
        n -= split_size("test", fraction, n)
    if isinstance(config.validation, float):
        n -= split_size("validation", config.validation, n)
    return min(n, config.limit or n)
