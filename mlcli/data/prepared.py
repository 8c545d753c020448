"""The prepared cache: arrays as plain .npy files with a manifest, opened by memory-mapping and checked every time.

    <root>/<name>/train_images.npy   uint8 (n, channels, height, width)
                  train_labels.npy   int64 (n,)
                  test_images.npy, test_labels.npy
                  manifest.json      schema version, checksums of the files they were made from, sizes, sha256

The folder is written aside and renamed. A folder that a crash or a full disk left cannot pass for whole, because
opening it compares the content with the digests of the manifest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.data.directory import unwritable
from mlcli.data.fingerprint import content_sha256, fingerprint
from mlcli.data.source import SourceData
from mlcli.records import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcli.records import DatasetInfo

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
_MANIFEST_BYTES = 64 * 1024  # at the most; a whole one has about one thousand


class PreparedError(Exception):
    """A prepared folder that cannot be used; the message says why."""


def open_prepared(folder: Path, info: DatasetInfo, made_from: Mapping[str, str]) -> SourceData:
    """Map the arrays of a prepared folder and hold their content against the manifest; PreparedError otherwise.

    made_from: checksum by name of the files they must have been made from. The arrays are read-only.
    """
    manifest = _read_manifest(folder)
    if manifest.get("made_from") != dict(made_from):
        raise PreparedError("was made from other files")
    arrays = {name: _mapped(folder / f"{name}.npy", shape, dtype) for name, (shape, dtype) in _layout(info).items()}
    digests = {name: content_sha256(array) for name, array in arrays.items()}
    for name, digest in digests.items():
        if manifest["files"].get(f"{name}.npy", {}).get("sha256") != digest:
            raise PreparedError(f"{name}.npy is altered: its sha256 is not that of the manifest")
    return SourceData(
        train=Split(arrays["train_images"], arrays["train_labels"]),
        test=Split(arrays["test_images"], arrays["test_labels"]),
        fingerprint=fingerprint(arrays, digests),
    )


def _layout(info: DatasetInfo) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of each array."""
    return {
        "train_images": ((info.n_train, *info.input_shape), "|u1"),
        "train_labels": ((info.n_train,), "<i8"),
        "test_images": ((info.n_test, *info.input_shape), "|u1"),
        "test_labels": ((info.n_test,), "<i8"),
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MANIFEST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise PreparedError(f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or not _has_files(manifest):
        raise PreparedError(f"{MANIFEST} is not one")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise PreparedError("was made by another version of mlcli")
    return manifest


def _has_files(manifest: dict[str, Any]) -> bool:
    files = manifest.get("files")
    return isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values())


def _mapped(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy's reader of headers lets everything out that parsing Python can raise
        raise PreparedError(f"{path.name} cannot be opened: {error}") from error
    if mapped.shape != shape or mapped.dtype != np.dtype(dtype) or not mapped.flags.c_contiguous:
        raise PreparedError(f"{path.name} holds {mapped.dtype} {mapped.shape} instead of {dtype} {shape}")
    # A plain view of the same memory: the memmap class makes every later operation slower.
    return np.asarray(mapped)


def write_prepared(folder: Path, arrays: Mapping[str, NDArray[Any]], name: str, made_from: Mapping[str, str]) -> None:
    """Write a prepared folder aside and put it into the place of the one that is there. Call it under a lock.

    DataError where it cannot be written; nothing that could pass for whole is left then.
    """
    try:
        with scratch_folder(folder.parent, name) as staging:
            aside = staging / "new"
            aside.mkdir()
            for array_name, array in arrays.items():
                np.save(aside / f"{array_name}.npy", array, allow_pickle=False)
            manifest = json.dumps(_manifest(aside, arrays, name, made_from), indent=2)
            (aside / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
            if os.path.lexists(folder):
                os.replace(folder, staging / "old")
            os.replace(aside, folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _manifest(
    aside: Path, arrays: Mapping[str, NDArray[Any]], name: str, made_from: Mapping[str, str]
) -> dict[str, object]:
    digests = {array_name: content_sha256(array) for array_name, array in arrays.items()}
    files = {
        f"{array_name}.npy": {
            "bytes": (aside / f"{array_name}.npy").stat().st_size,
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


def looks_whole(folder: Path) -> bool:
    """Whether every file is there in the size that the manifest gives; reads the manifest alone."""
    try:
        files = _read_manifest(folder)["files"]
        return all(
            (folder / f"{name}.npy").stat().st_size == files.get(f"{name}.npy", {}).get("bytes") for name in ARRAY_NAMES
        )
    except (OSError, PreparedError):
        return False


@contextmanager
def scratch_folder(root: Path, name: str) -> Iterator[Path]:
    """A new folder in `root`, removed at the end, with those that a killed process left. Call it under a lock."""
    for stray in root.glob(f".{name}-*"):
        shutil.rmtree(stray, ignore_errors=True)
    folder = root / f".{name}-{os.urandom(6).hex()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
