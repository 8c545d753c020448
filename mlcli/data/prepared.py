"""The prepared cache: arrays as plain .npy files with a manifest, memory-mapped and verified each time they are opened.

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
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.directory import staging_folder, writing
from mlcli.data.source import SourceData, content_sha256, fingerprint
from mlcli.errors import DataError
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


def write_prepared(folder: Path, arrays: Mapping[str, NDArray[Any]], made_from: Mapping[str, str]) -> None:
    """Write a prepared folder, replacing an existing one. Call it under a lock.

    DataError if it cannot be written; an incomplete folder is not left behind.
    """
    digests = {name: content_sha256(array) for name, array in arrays.items()}
    files = {}
    with writing(folder), staging_folder(folder.parent, folder.name) as staging:
        new = staging / "new"
        new.mkdir()
        for name, array in arrays.items():
            path = new / f"{name}.npy"
            np.save(path, array, allow_pickle=False)
            # The digest is that of the values, without the .npy header.
            files[path.name] = {"bytes": path.stat().st_size, "sha256": digests[name]}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": folder.name,
            "fingerprint": fingerprint(arrays, digests),
            "made_from": dict(made_from),
            "files": files,
        }
        (new / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if os.path.lexists(folder):
            os.replace(folder, staging / "old")
        os.replace(new, folder)


def is_complete(folder: Path) -> bool:
    """Return whether every array file has the size given in the manifest; reads nothing but the manifest."""
    try:
        files = _read_manifest(folder)["files"]
        return all(
            (folder / f"{name}.npy").stat().st_size == files.get(f"{name}.npy", {}).get("bytes") for name in ARRAY_NAMES
        )
    except (OSError, PreparedError):
        return False


def decode_raw(paths: Sequence[Path], info: DatasetInfo) -> dict[str, NDArray[Any]]:
    """Return the arrays of a prepared folder, decoded from gzipped IDX files in the order of ARRAY_NAMES.

    DataError if the files do not contain the dataset.
    """
    arrays = {}
    for path, (name, (shape, dtype)) in zip(paths, _layout(info).items(), strict=True):
        values = _decode_idx(path, (shape[0], *shape[2:]))  # an IDX file of images has no axis for channels
        if name.endswith("labels") and values.max() >= info.n_classes:
            raise DataError(f"{path} contains class {values.max()}, expected 0 to {info.n_classes - 1}")
        arrays[name] = values.reshape(shape).astype(dtype, copy=False)
    return arrays


def _decode_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the unsigned bytes of an IDX file (http://yann.lecun.com/exdb/mnist/); DataError for another shape."""
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    n_bytes = len(header) + math.prod(shape)
    try:
        with gzip.open(path) as file:
            content = file.read(n_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be decompressed: {error}") from error
    if len(content) > n_bytes:
        raise DataError(f"{path} contains more than the expected {n_bytes} bytes")
    if len(content) < n_bytes or not content.startswith(header):
        raise DataError(f"{path} does not contain the expected {'x'.join(map(str, shape))} unsigned bytes")
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
