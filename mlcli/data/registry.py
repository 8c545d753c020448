"""DATASETS: every dataset with what is known of it, readable without importing numpy or a framework.

A new dataset is one file and one row here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mlcli.errors import UsageError, unknown_name
from mlcli.records import DatasetInfo

if TYPE_CHECKING:
    from mlcli.data.source import Source

_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class DatasetRow:
    """A row of the table. The source is called with the info."""

    source: str  # "module:function"
    info: DatasetInfo
    maximum: float | None = None  # the largest value a feature can take, where that is known beforehand


DATASETS: dict[str, DatasetRow] = {
    "iris": DatasetRow(
        source="mlcli.data.embedded:iris",
        info=DatasetInfo(
            name="iris",
            kind="table",
            input_shape=(4,),
            class_names=("setosa", "versicolor", "virginica"),
            feature_names=("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
            n_train=150,
            n_test=0,
            title="Iris flowers (Fisher, 1936)",
        ),
    ),
    "digits": DatasetRow(
        source="mlcli.data.embedded:digits",
        info=DatasetInfo(
            name="digits",
            kind="image",
            input_shape=(1, 8, 8),
            class_names=_DIGITS,
            feature_names=(),
            n_train=1797,
            n_test=0,
            title="Handwritten digits, 8x8 (Alpaydin and Kaynak, 1998)",
        ),
        maximum=16.0,
    ),
    "mnist": DatasetRow(
        source="mlcli.data.images:mnist",
        info=DatasetInfo(
            name="mnist",
            kind="image",
            input_shape=(1, 28, 28),
            class_names=_DIGITS,
            feature_names=(),
            n_train=60000,
            n_test=10000,
            title="MNIST handwritten digits (LeCun et al., 1998)",
        ),
        maximum=255.0,
    ),
    "fashion": DatasetRow(
        source="mlcli.data.images:fashion",
        info=DatasetInfo(
            name="fashion",
            kind="image",
            input_shape=(1, 28, 28),
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            feature_names=(),
            n_train=60000,
            n_test=10000,
            title="Fashion-MNIST (Xiao et al., arXiv:1708.07747)",
        ),
        maximum=255.0,
    ),
}


def dataset_row(name: str) -> DatasetRow:
    """The row of a dataset; UsageError with the nearest match for a name that is not there."""
    if name not in DATASETS:
        raise UsageError(unknown_name("dataset", name, list(DATASETS)))
    return DATASETS[name]


def dataset_info(name: str) -> DatasetInfo:
    """What is known of a dataset without reading it; UsageError for a name that is not there."""
    return dataset_row(name).info


def dataset_source(name: str) -> Source:
    """Where the samples come from; imports the module of the source, and no framework."""
    row = dataset_row(name)
    module, _, function = row.source.partition(":")
    return cast("Source", getattr(import_module(module), function)(row.info))
