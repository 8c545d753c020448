"""The arrays of a prepared table: encoded block by block into memory-mapped files, and read from them again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.encoding import encode
from mlcli.data.own.table_file import TableFile, located
from mlcli.records import Dataset, DatasetInfo, Scaling, Split, TableEncoding

_INDEX = "dataset.json"
_BLOCK_VALUES = 2**21  # features that are held in memory at a time
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """The features of a table, computed when rows are taken. folder: where the arrays are written; None: in memory."""

    file: TableFile
    store: ColumnStore
    encoding: TableEncoding
    folder: Path | None = None
    unseen: Counter[str] = field(default_factory=Counter)  # values that are none of the categories, of rows taken

    def __len__(self) -> int:
        return len(self.store)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and features."""
        return len(self.store), sum(len(column.features) for column in self.encoding.columns)

    def split(self, y: NDArray[np.int64]) -> Split:
        """Return the rows with their classes, as samples that are computed when they are taken."""
        return Split(cast("NDArray[np.float64]", self), y)

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the features at some positions, float64 (n, features); a view of a read-only file if there is one."""
        with located(self.file):
            return self._take(positions)

    def _take(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        names, n_rows = [column.name for column in self.encoding.columns], max(1, _BLOCK_VALUES // self.shape[1])
        frames = self.store.take(positions).blocks(names, n_rows)
        blocks = (encode(frame, self.encoding, self.unseen) for frame in frames)
        shape = (len(positions), self.shape[1])
        if self.folder is None:
            x, end = np.empty(shape), 0
            for block in blocks:
                start, end = end, end + len(block)
                x[start:end] = block
            return x
        path = self.folder / f"x{len(list(self.folder.glob('x*.bin')))}.bin"
        with path.open("wb") as file:
            for block in blocks:
                block.tofile(file)
        return _mapped(path, shape)


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.float64]:
    # A plain view of the same memory: the memmap class slows down every later operation.
    return np.asarray(np.memmap(path, dtype=np.float64, mode="r", shape=shape)) if shape[0] else np.empty(shape)


def write_dataset(folder: Path, dataset: Dataset) -> None:
    """Write everything about a dataset whose features are in files of the folder already."""
    parts: dict[str, Any] = {}
    for name in _PARTS:
        split = getattr(dataset, name)
        shared = next((other for other in parts if getattr(dataset, other) is split), None)
        if split is not None:
            parts[name] = {"same_as": shared} if shared else {"x": _file_of(split.x), "shape": split.x.shape}
            if not shared:
                split.y.tofile(folder / f"{name}_y.bin")
    scaling = {name: np.asarray(part).tolist() for name, part in vars(dataset.scaling).items() if part is not None}
    document = {
        "info": TypeAdapter(DatasetInfo).dump_python(dataset.info, mode="json"),
        "parts": parts,
        "scaling": scaling,
        "fingerprint": dataset.fingerprint,
        "split_digest": dataset.split_digest,
        "notes": dataset.notes,
    }
    (folder / _INDEX).write_text(json.dumps(document), encoding="utf-8")


def _file_of(x: NDArray[Any]) -> str:
    """Return the name of the file that an array is a view of."""
    array: Any = x
    while not isinstance(array, np.memmap):
        array = array.base
    return Path(str(array.filename)).name


def open_dataset(folder: Path) -> Dataset:
    """Return the dataset that `write_dataset` wrote, as views of its files."""
    document = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    parts: dict[str, Split] = {}
    for name, part in document["parts"].items():
        if "same_as" in part:
            parts[name] = parts[part["same_as"]]
        else:
            y = np.fromfile(folder / f"{name}_y.bin", dtype=np.int64)
            parts[name] = Split(_mapped(folder / part["x"], tuple(part["shape"])), y)
    scaling: dict[str, Any] = {
        name: np.array(part) if isinstance(part, list) else part for name, part in document["scaling"].items()
    }
    return Dataset(
        info=TypeAdapter(DatasetInfo).validate_json(json.dumps(document["info"])),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        scaling=Scaling(**scaling),
        fingerprint=document["fingerprint"],
        split_digest=document["split_digest"],
        notes=tuple(document["notes"]),
    )
