"""Fuzz run directories, one file at a time, with the original checksum or a checksum that matches the new content."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import seed_files
import skops.io  # noqa: F401
from real_runs import NAMES, make_run
from run_readers import INTACT, Reader, readers_of
from safetensors.numpy import load, save
from watched import read_or_refused

# Readers import this module late. It is imported here because coverage includes only modules imported at the start.
from mlcli.engines.sklearn import stored  # noqa: F401
from mlcli.records import EpochRecord, Metrics, RunRecord, Timing

_MANIFEST, _RECORD = "manifest.json", "metrics.json"
_MEMBERS = {"estimator.skops": ("schema.json",), "predictions.npz": ("y.npy", "probabilities.npy")}
_HOSTILE_JSON = (
    b"", b"null", b"[]", b"{}", b"[" * 20_000, b'{"a":' * 5_000, b"9" * 5_000, b"NaN", b'"\\ud800\\u001b[2J"',
)  # fmt: skip
_JSON_FRAGMENTS = (
    "null", "true", "[]", "{}", '""', "-1", "1e999", "NaN", '"\\ud800"', '"\\u001b[2J"', "99999999999999", "../",
    '"finished"', "schema.json", "__class__", "__loader__", '"F32"', '"data_offsets":[', '"shape":[', '"dtype":',
)  # fmt: skip


@dataclass(frozen=True)
class _Case:
    """A file of a run whose content is replaced.

    has_valid_digest: the digest in the run is updated to match the new content. member: if the file is an archive, the
    member that is replaced in an otherwise intact archive; None: the whole file.
    """

    run: str
    file: str
    readers: tuple[Reader, ...]
    has_valid_digest: bool = False
    member: str | None = None


def _cases(run: str, files: dict[str, bytes]) -> Iterator[_Case]:
    for file in files:
        readers = readers_of(file, has_record=_RECORD in files)
        if not readers:
            continue
        yield _Case(run, file, readers)
        if _has_digest(file, files):
            yield _Case(run, file, readers, has_valid_digest=True)
            for member in _MEMBERS.get(file, ()):
                yield _Case(run, file, readers, has_valid_digest=True, member=member)


def _has_digest(file: str, files: dict[str, bytes]) -> bool:
    if _MANIFEST not in files:
        return file.endswith(".safetensors")
    return file in json.loads(files[_MANIFEST])["files"]


class RunsTarget:
    """Fuzzes the readers of run directories.

    The first byte selects a run and one of its files; the remaining bytes become the content of the file.
    """

    def __init__(self, scratch: Path) -> None:
        originals, runs = scratch / "originals", scratch / "runs"
        self._files = {name: make_run(name, originals / name) for name in NAMES}
        self._cases = [case for name in NAMES for case in _cases(name, self._files[name])]
        assert len(self._cases) <= 256, "more cases than a byte can choose"
        # Comparing and sorting need a second run, so an intact run is stored next to the fuzzed one.
        shutil.copytree(originals / "logistic", runs / INTACT)
        self._fuzzed = runs / "fuzzed"

    def seeds(self) -> Iterator[bytes]:
        known: set[tuple[str, str | None]] = set()
        for number, case in enumerate(self._cases):
            content = self._files[case.run][case.file]
            if case.member:
                content = _members(content)[case.member]
            yield bytes([number]) + content
            # After the checksum, all runs are read in the same way: one hostile variant per file is enough.
            if (case.file, case.member) not in known and (case.has_valid_digest or case.file in (_MANIFEST, _RECORD)):
                known.add((case.file, case.member))
                yield from (bytes([number]) + other for other in _hostile(case.member or case.file, content))

    def dictionary_entries(self) -> Iterable[str]:
        """Return the fragments that records consist of."""
        for record in (RunRecord, Metrics, Timing, EpochRecord):
            yield from (f'"{field.name}": ' for field in fields(record))
        yield from _JSON_FRAGMENTS

    def check(self, data: bytes) -> None:
        """Check that each reader either reads the run or ends with a clean error."""
        case = self._cases[data[0] % len(self._cases)] if data else self._cases[0]
        self._put(case, data[1:])
        for read in case.readers:
            with read_or_refused(), redirect_stdout(io.StringIO()):
                read(self._fuzzed, len(data))

    def _put(self, case: _Case, content: bytes) -> None:
        files = dict(self._files[case.run])
        files[case.file] = _with_member(files[case.file], case.member, content) if case.member else content
        if case.has_valid_digest:
            _update_digest(files, case.file)
        shutil.rmtree(self._fuzzed, ignore_errors=True)
        for name, data in files.items():
            (self._fuzzed / name).parent.mkdir(parents=True, exist_ok=True)
            (self._fuzzed / name).write_bytes(data)


def _members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        return {name: whole.read(name) for name in whole.namelist() if name != "allow_pickle.npy"}


def _with_member(archive: bytes, member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as changed:
        for name, data in (_members(archive) | {member: content}).items():
            changed.writestr(name, data)
    return buffer.getvalue()


def _update_digest(files: dict[str, bytes], file: str) -> None:
    """Give the digest of the content: in the name of a checkpoint, of other files in the manifest."""
    digest = hashlib.sha256(files[file]).hexdigest()
    if file.startswith("checkpoint/"):
        number, _, _ = file.partition("_")
        files[f"{number}_{digest}.safetensors"] = files.pop(file)
    else:
        manifest = json.loads(files[_MANIFEST])
        manifest["files"][file] = digest
        files[_MANIFEST] = json.dumps(manifest).encode()


def _hostile(file: str, content: bytes) -> Iterator[bytes]:
    """Yield hostile contents for a file."""
    if file.endswith(".json"):
        yield from _HOSTILE_JSON
        yield from _one_value_changed(content)
    elif file == "predictions.npz":
        y = seed_files.npy(np.arange(3))
        yield from (seed_files.npz(kind, y=y) for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    elif file.endswith(".npy"):
        yield from seed_files.hostile_npy("3,")
    elif file.endswith(".safetensors") and file.startswith("checkpoint/"):
        arrays = load(content)
        for document in _one_value_changed(arrays["document"].tobytes()):
            yield save(arrays | {"document": np.frombuffer(document, np.uint8)})
        for name, array in arrays.items():
            yield from (save(arrays | {name: other}) for other in (array[:0], array.astype("f4"), np.zeros((2, 3))))
            yield save({other: arrays[other] for other in arrays if other != name})


def _one_value_changed(document: bytes) -> Iterator[bytes]:
    """Yield copies of the document in which one value of its first three levels has another type."""
    whole = json.loads(document)
    for other in (None, [], {"a": []}, "\ud800\x1b[2J", -1, 1e300):
        yield from (json.dumps(changed).encode() for changed in _changed(whole, other, n_levels=3))


def _changed(mapping: dict[str, Any], other: object, n_levels: int) -> Iterator[dict[str, Any]]:
    for key, value in mapping.items():
        yield mapping | {key: other}
        if isinstance(value, dict) and n_levels > 1:
            yield from (mapping | {key: below} for below in _changed(value, other, n_levels - 1))
