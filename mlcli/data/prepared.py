"""Raw IDX files, decoded with torchvision into a cache: .npy files, memory-mapped and verified when they are opened.

    <root>/<name>/train_images.npy   uint8 (n, channels, height, width)
                  train_labels.npy   int64 (n,)
                  test_images.npy, test_labels.npy
                  manifest.json      schema version, checksums of the raw files, sizes, sha256

The folder is written to a staging folder and renamed. What a crash or a full disk leaves cannot pass for complete,
because opening it compares the content with the digests in the manifest.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import sys
import warnings
import zlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.directory import staging_folder, writing
from mlcli.data.source import SourceData, content_sha256, fingerprint
from mlcli.errors import DataError, MlcliError
from mlcli.records import DatasetInfo, Split

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
_MAX_MANIFEST_BYTES = 64 * 1024  # a valid manifest has about one thousand


class PreparedError(Exception):
    """A prepared folder that cannot be used; the message says why."""


def open_prepared(folder: Path, info: DatasetInfo, made_from: Mapping[str, str]) -> SourceData:
    """Memory-map the arrays of a prepared folder and verify their content; PreparedError if they cannot be used.

    made_from: the md5 by name of the raw files. The arrays are read-only.
    """
    manifest = _read_manifest(folder)
    if manifest.get("made_from") != dict(made_from):
        raise PreparedError("was made from other files")
    arrays = {name: _mapped(folder / f"{name}.npy", shape, dtype) for name, (shape, dtype) in _layout(info).items()}
    digests = {name: content_sha256(array) for name, array in arrays.items()}
    for name, digest in digests.items():
        if manifest["files"].get(f"{name}.npy", {}).get("sha256") != digest:
            raise PreparedError(f"{name}.npy is altered: its sha256 differs from the manifest")
    return SourceData(
        train=Split(arrays["train_images"], arrays["train_labels"]),
        test=Split(arrays["test_images"], arrays["test_labels"]),
        fingerprint=fingerprint(arrays, digests),
    )


def _layout(info: DatasetInfo) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the shape and dtype of each array."""
    return {
        "train_images": ((info.n_train, *info.input_shape), "|u1"),
        "train_labels": ((info.n_train,), "<i8"),
        "test_images": ((info.n_test, *info.input_shape), "|u1"),
        "test_labels": ((info.n_test,), "<i8"),
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MAX_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise PreparedError(f"{MANIFEST} cannot be read: {error}") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise PreparedError(f"{MANIFEST} is not a manifest")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise PreparedError("was made by another version of mlcli")
    return dict(manifest)


def _mapped(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy parses the header as Python, which can raise anything
        raise PreparedError(f"{path.name} cannot be opened: {error}") from error
    if mapped.shape != shape or mapped.dtype != np.dtype(dtype) or not mapped.flags.c_contiguous:
        raise PreparedError(f"{path.name} contains {mapped.dtype} {mapped.shape} instead of {dtype} {shape}")
    # A plain view of the same memory: the memmap class slows down every later operation.
    return np.asarray(mapped)


def write_prepared(folder: Path, arrays: Mapping[str, NDArray[Any]], name: str, made_from: Mapping[str, str]) -> None:
    """Write a prepared folder, replacing an existing one. Call it under a lock.

    DataError if it cannot be written; an incomplete folder is not left behind.
    """
    with writing(folder), staging_folder(folder.parent, name) as staging:
        new = staging / "new"
        new.mkdir()
        for array_name, array in arrays.items():
            np.save(new / f"{array_name}.npy", array, allow_pickle=False)
        manifest = json.dumps(_manifest(new, arrays, name, made_from), indent=2)
        (new / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
        if os.path.lexists(folder):
            os.replace(folder, staging / "old")
        os.replace(new, folder)


def _manifest(
    folder: Path, arrays: Mapping[str, NDArray[Any]], name: str, made_from: Mapping[str, str]
) -> dict[str, object]:
    digests = {array_name: content_sha256(array) for array_name, array in arrays.items()}
    files = {
        f"{array_name}.npy": {
            "bytes": (folder / f"{array_name}.npy").stat().st_size,
            "sha256": digest,  # of the values, without the .npy header
        }
        for array_name, digest in digests.items()
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "fingerprint": fingerprint(arrays, digests),
        "made_from": dict(made_from),
        "files": files,
    }


def is_complete(folder: Path) -> bool:
    """Return whether every array file has the size given in the manifest; reads nothing but the manifest."""
    try:
        files = _read_manifest(folder)["files"]
        return all(
            (folder / f"{name}.npy").stat().st_size == files.get(f"{name}.npy", {}).get("bytes") for name in ARRAY_NAMES
        )
    except (OSError, PreparedError):
        return False


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
