"""Load a dataset as one experiment uses it: split, limited, with a fitted scaling."""

from __future__ import annotations

from pathlib import Path

from mlcli.config.dataset import DatasetConfig
from mlcli.data.directory import data_directory, offline_requested
from mlcli.data.source import Log, dataset_source
from mlcli.records import Dataset, DatasetInfo, Preprocessing
from mlcli.registry import dataset_row


def load_dataset(
    config: DatasetConfig, *, data_dir: Path | None = None, offline: bool = False, log: Log = lambda _: None
) -> Dataset:
    """Read, split and limit a dataset, and fit its scaling on the training split.

    x is (n, *input_shape), images uint8 and tables float64, not scaled; arrays may be read-only views of mapped files.
    data_dir: see `data_directory`. offline: never use the network (also MLCLI_OFFLINE=1). log: receives one line per
    slow step. UsageError for an unknown name or a split without samples, DataError for missing or altered data.
    """
    # numpy must not be imported with this module, because the thread count is decided later.
    if config.path is not None:
        from mlcli.data.own import own_dataset

        return own_dataset(config, data_dir, log)
    from mlcli.data.preprocessing import preprocess

    row = dataset_row(config.label)
    data = dataset_source(config.label).read(data_directory(data_dir), offline=offline_requested(offline), log=log)
    return preprocess(data, row.info, config)


def dataset_info(config: DatasetConfig, data_dir: Path | None = None, log: Log = lambda _: None) -> DatasetInfo:
    """Return the description of a dataset: from the registry, or of a person's own from its file, which is read."""
    if config.path is None:
        return dataset_row(config.label).info
    return load_dataset(config, data_dir=data_dir, log=log).info


def preprocessing_of(dataset: Dataset) -> Preprocessing:
    """Return shapes, names and value range of the source, with the scaling fitted on the training split."""
    info = dataset.info
    return Preprocessing(
        kind=info.kind,
        input_shape=info.input_shape,
        class_names=info.class_names,
        feature_names=info.feature_names,
        value_range=None if info.maximum is None else (0.0, info.maximum),
        scaling=dataset.scaling,
        encoding=info.encoding,
        decoding=info.decoding,
    )
