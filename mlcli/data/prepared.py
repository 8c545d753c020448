"""The prepared cache: arrays as plain .npy files with a manifest, memory-mapped and verified each time they are opened.

    <root>/<name>/train_images.npy   uint8 (n, channels, height, width)
                  train_labels.npy   int64 (n,)
                  test_images.npy, test_labels.npy
                  manifest.json      schema version, checksums of the raw files, sizes, sha256

The folder is written to a staging folder and renamed. What a crash or a full disk leaves cannot pass for complete,
because opening it compares the content with the digests in the manifest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.directory import staging_folder, writing
from mlcli.data.source import SourceData, content_sha256, fingerprint
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
