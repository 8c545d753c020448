"""A table by columns: read once, by blocks of rows, and kept compactly, in memory or in memory-mapped files.

A column of numbers is an array of them. Any other column, also one of booleans, is an array of codes and the list of
its distinct values, so that the memory for texts grows with the distinct ones only.

pandas decides the type of a column by its values, and would decide anew for each block of rows. A column whose blocks
have different types is therefore read once more, as a whole: it has the values that it has if all is read at once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.table_file import TableFile
from mlcli.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.int64] | slice
OnRows = Callable[[int, float], None]  # called with the rows read so far, and the fraction of the file

_INDEX = "columns.json"
_BLOCK_CELLS = 2**22  # of the rows that are held in memory at a time
_MAX_BLOCK_ROWS = 2**16
_MISSING = -1


@dataclass(frozen=True, eq=False)
class StoredColumn:
    """The values of one column. distinct: the values of codes, of which -1 is a missing one; None: no codes."""

    name: str
    values: NDArray[Any]  # numbers (n,), or codes, int32 (n,)
    distinct: pd.Series[Any] | None = None

    def series(self, rows: Rows, index: pd.Index[Any]) -> pd.Series[Any]:
        """Return some of the values as pandas reads them; index: the numbers of these rows."""
        import pandas as pd

        values = self.values[rows]
        if self.distinct is None:
            return pd.Series(np.asarray(values), index=index, name=self.name)
        return pd.Series(self.distinct.array.take(values, allow_fill=True), index=index, name=self.name)


@dataclass(frozen=True, eq=False)
class ColumnStore:
    """The rows of a table. `store[name]` is a pandas Series; what is read of a file stays on the disk until then.

    rows: those that belong to it, numbers in the file from 0 in any order, int64; None for all.
    """

    stored: dict[str, StoredColumn]
    rows: NDArray[np.int64] | None = None
    bad_lines: tuple[int, ...] = ()  # the lines of damaged rows of the file, which are left out

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order of the file."""
        return list(self.stored)

    @property
    def index(self) -> NDArray[np.int64]:
        """The numbers of the rows in the file, from 0."""
        return np.arange(self._n_stored, dtype=np.int64) if self.rows is None else self.rows

    def __len__(self) -> int:
        return self._n_stored if self.rows is None else len(self.rows)

    @property
    def _n_stored(self) -> int:
        return len(next(iter(self.stored.values())).values)

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self._series(name, slice(0, len(self)))

    def take(self, positions: NDArray[np.int64]) -> ColumnStore:
        """Return the rows at some positions, in that order; nothing is copied."""
        return ColumnStore(self.stored, positions if self.rows is None else self.rows[positions], self.bad_lines)

    def blocks(self, names: Sequence[str], n_rows: int | None = None) -> Iterator[pd.DataFrame]:
        """Yield some columns of all rows, in order, in frames of at most n_rows; None: `rows_per_block`."""
        import pandas as pd

        n_rows = n_rows or rows_per_block(len(names))
        for start in range(0, len(self), n_rows):
            block = slice(start, min(start + n_rows, len(self)))
            yield pd.DataFrame({name: self._series(name, block) for name in names})

    def _series(self, name: str, block: slice) -> pd.Series[Any]:
        import pandas as pd

        if self.rows is None:
            return self.stored[name].series(block, pd.RangeIndex(block.start, block.stop))
        rows = self.rows[block]
        return self.stored[name].series(rows, pd.Index(rows))


def rows_per_block(n_columns: int) -> int:
    """Return how many rows to hold in memory at a time."""
    return max(1, min(_MAX_BLOCK_ROWS, _BLOCK_CELLS // max(1, n_columns)))


def read_columns(
    file: TableFile, names: Sequence[str], folder: Path | None, on_rows: OnRows = lambda rows, fraction: None
) -> ColumnStore:
    """Read some columns of a file; folder: where the arrays are written, None: in memory.

    DataError for content that is not a table, and for one without rows.
    """
    wanted = [name for name in file.column_names() if name in set(names)]
    spools = {name: _Spool(None if folder is None else folder / f"{index}.bin") for index, name in enumerate(wanted)}
    n_rows = 0
    for frame in file.read(wanted, rows_per_block(len(file.column_names()))):
        for name, spool in spools.items():
            spool.append(frame[name])
        n_rows += len(frame)
        on_rows(n_rows, file.fraction_read)
    for values in file.read_whole([name for name, spool in spools.items() if spool.is_mixed]):
        spools[str(values.name)] = spool = _Spool(spools[str(values.name)].path)
        if spool.path is not None:
            spool.path.unlink(missing_ok=True)
        spool.append(values)
    if n_rows == 0:
        raise DataError(f"{file.location}: no rows below the header")
    columns = {name: spool.finish(name) for name, spool in spools.items()}
    if folder is not None:
        _write_index(folder, columns, file.bad_lines)
    return ColumnStore(columns, bad_lines=tuple(file.bad_lines))


@dataclass(eq=False)
class _Spool:
    """The values of a column, block by block. path: of the file for its array; None: in memory."""

    path: Path | None
    _kinds: set[str] = field(default_factory=set)
    _blocks: list[tuple[np.dtype[Any], int]] = field(default_factory=list)  # type and rows of each
    _parts: list[NDArray[Any]] = field(default_factory=list)  # in memory
    _codes: dict[Any, int] = field(default_factory=dict)  # by distinct value

    @property
    def is_mixed(self) -> bool:
        """Whether pandas would have read the blocks as other values, had it seen all of them."""
        has_types = len(self._kinds - {"missing"}) > 1
        has_large = "large" in self._kinds and len(self._kinds) > 1
        return has_types or has_large or ("object" in self._kinds and len(self._blocks) > 1)

    @property
    def _is_coded(self) -> bool:
        return bool(self._kinds & {"text", "boolean", "object"})

    def append(self, values: pd.Series[Any]) -> None:
        """Add the values of a block of rows."""
        kind = _kind(values)
        self._kinds.add(kind)
        if self.is_mixed:
            return  # read again
        match kind:
            case "text" | "boolean" | "object":
                part: NDArray[Any] = self._encoded(values)
            case "missing":
                part = np.full(len(values), np.nan)
            case _:
                part = values.to_numpy()
        self._blocks.append((part.dtype, len(part)))
        if self.path is None:
            self._parts.append(part)
        else:
            with self.path.open("ab") as file:
                part.tofile(file)

    def _encoded(self, values: pd.Series[Any]) -> NDArray[np.int32]:
        codes, found = values.factorize(use_na_sentinel=True)
        known = self._codes
        by_code = [known.setdefault(value, len(known)) for value in found.tolist()]
        encoded: NDArray[np.int32] = np.array([*by_code, _MISSING], dtype=np.int32)[codes]
        return encoded

    def finish(self, name: str) -> StoredColumn:
        """Return the column with the values of all blocks."""
        parts = list(self._mapped_parts()) if self.path else self._parts
        if self._is_coded:  # a block without any value has numbers
            parts = [part if part.dtype == np.int32 else np.full(len(part), _MISSING, dtype=np.int32) for part in parts]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0)
        if self.path is not None and len(parts) != 1:
            self.path.unlink(missing_ok=True)
            values.tofile(self.path)
            values = _mapped(self.path, values.dtype)
        return StoredColumn(name, values, _series_of(list(self._codes)) if self._is_coded else None)

    def _mapped_parts(self) -> Iterator[NDArray[Any]]:
        """Yield the blocks in the file, adjacent ones of one type together."""
        assert self.path is not None
        start = 0
        for dtype, blocks in itertools.groupby(self._blocks, key=lambda block: block[0]):
            n_rows = sum(length for _, length in blocks)
            if n_rows:
                yield np.asarray(np.memmap(self.path, dtype=dtype, mode="r", offset=start, shape=(n_rows,)))
            start += n_rows * dtype.itemsize


def _kind(values: pd.Series[Any]) -> str:
    """Return how a block of values is stored: numbers by a name of their own, other values by codes."""
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iufmM":
        if dtype == np.uint64:
            return "large"  # integers beyond 2**63
        if dtype.kind in "iu":
            return "number"
        if dtype.kind == "f":
            return "missing" if values.isna().all() else "number"
        return str(dtype)
    if values.isna().all():
        return "missing"
    found = pd.api.types.infer_dtype(values, skipna=True)
    return {"string": "text", "boolean": "boolean"}.get(found, "object")


def _series_of(distinct: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    is_text = all(isinstance(value, str) for value in distinct)
    return pd.Series(distinct) if is_text and distinct else pd.Series(distinct, dtype=object)


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    if path.stat().st_size == 0:
        return np.empty(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _write_index(folder: Path, columns: dict[str, StoredColumn], bad_lines: list[int]) -> None:
    content = [
        {
            "name": name,
            "dtype": column.values.dtype.str,
            "distinct": None if column.distinct is None else column.distinct.tolist(),
        }
        for name, column in columns.items()
    ]
    (folder / _INDEX).write_text(json.dumps({"bad_lines": bad_lines, "columns": content}), encoding="utf-8")


def open_columns(folder: Path) -> ColumnStore:
    """Return the columns that `read_columns` wrote into a folder."""
    columns = {}
    document = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    for index, entry in enumerate(document["columns"]):
        values = _mapped(folder / f"{index}.bin", np.dtype(entry["dtype"]))
        distinct = None if entry["distinct"] is None else _series_of(entry["distinct"])
        columns[entry["name"]] = StoredColumn(entry["name"], values, distinct)
    return ColumnStore(columns, bad_lines=tuple(document["bad_lines"]))
