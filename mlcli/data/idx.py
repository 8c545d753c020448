"""Decode gzipped IDX files into arrays with torchvision's dataset classes."""

from __future__ import annotations

import gzip
import math
import sys
import warnings
import zlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.directory import writing
from mlcli.errors import DataError, MlcliError
from mlcli.records import DatasetInfo

_MAX_HEADER_BYTES = 16  # of an IDX file with up to three dimensions
_CHUNK = 1 << 20


def decode(paths: Sequence[Path], class_name: str, info: DatasetInfo, scratch: Path) -> dict[str, NDArray[Any]]:
    """Return train_images, train_labels, test_images and test_labels: uint8 (n, *input_shape) and int64 (n,).

    paths: the gzipped files; scratch: an empty folder for the extracted ones, which the caller removes.
    DataError if the files do not contain the dataset.
    """
    extracted = scratch / class_name / "raw"
    limit = _MAX_HEADER_BYTES + max(info.n_train, info.n_test) * math.prod(info.input_shape)
    for path in paths:
        _extract(path, extracted / path.stem, limit)
    dataset_class = getattr(torchvision_datasets(), class_name)
    arrays: dict[str, NDArray[Any]] = {}
    for split, n_samples in (("train", info.n_train), ("test", info.n_test)):
        try:
            dataset = dataset_class(scratch, train=split == "train", download=False)
            images, labels = dataset.data.numpy(), dataset.targets.numpy()
        except (AssertionError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise _unexpected(paths, split, f"{type(error).__name__} {error}") from error
        expected = (n_samples, *info.input_shape[1:])
        if images.shape != expected or labels.shape != (n_samples,):
            raise _unexpected(paths, split, f"images {images.shape} with labels {labels.shape}")
        if labels.max() >= info.n_classes:
            raise _unexpected(paths, split, f"a class {labels.max()}")
        arrays[f"{split}_images"] = images.reshape(n_samples, *info.input_shape)
        arrays[f"{split}_labels"] = labels.astype(np.int64, copy=False)
    return arrays


def _unexpected(paths: Sequence[Path], split: str, found: str) -> DataError:
    return DataError(f"{paths[0].parent} does not contain the expected {split} data: found {' '.join(found.split())}")


def _extract(path: Path, target: Path, limit: int) -> None:
    """Decompress `path` to `target`; DataError beyond `limit` bytes."""
    n_bytes = 0
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with gzip.open(path) as source, target.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    n_bytes += len(chunk)
                    if n_bytes > limit:
                        raise DataError(f"{path} contains more than the expected {limit} bytes")
                    file.write(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} cannot be decompressed: {error}") from error


# torch forgets the operators of a Library that is garbage-collected.
_libraries: list[Any] = []

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def torchvision_datasets() -> ModuleType:
    """Return `torchvision.datasets`; MlcliError with the reason if it cannot be imported.

    The torchvision wheel on PyPI is built for CUDA. Its compiled part does not load next to a CPU-only torch, and the
    import then fails because two operators, which the datasets do not use, have no schema. Only after exactly that
    failure, the schemas are declared and the import is repeated.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the missing image extension, which IDX files do not need
            return _import_datasets()
    except (ImportError, OSError, RuntimeError) as error:
        raise MlcliError(
            f"torchvision, which decodes these images, cannot be imported: {error}\n"
            "install the torchvision release that matches the installed torch"
        ) from error


def _import_datasets() -> ModuleType:
    try:
        return import_module("torchvision.datasets")
    except RuntimeError as error:
        if str(error) != _MISSING:
            raise
    _declare_operators()
    return import_module("torchvision.datasets")


def _declare_operators() -> None:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    make_library: Any = torch.library.Library  # has no annotations
    library = make_library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _libraries.append(library)
