"""What must be kept of a dataset to treat new samples as it was treated."""

from __future__ import annotations

from mlcli.data.registry import dataset_row
from mlcli.records import Dataset, Preprocessing


def preprocessing_of(dataset: Dataset) -> Preprocessing:
    """Shapes, names and value range of the source, and the scaling that was fitted on the training split."""
    info, maximum = dataset.info, dataset_row(dataset.info.name).maximum
    return Preprocessing(
        kind=info.kind,
        input_shape=info.input_shape,
        class_names=info.class_names,
        feature_names=info.feature_names,
        value_range=None if maximum is None else (0.0, maximum),
        scaling=dataset.scaling,
    )
