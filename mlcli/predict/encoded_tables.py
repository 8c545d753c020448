"""Rows of a table for a run that was trained on a person's own table: columns by name, encoded as the run did it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mlcli.data.own.encoding import encode, unseen_notes
from mlcli.data.own.table import encoded_file, present_columns
from mlcli.data.own.table_file import TableFile, located
from mlcli.predict.samples import SampleBatch, SampleSource
from mlcli.records import Preprocessing, TableEncoding
from mlcli.text import listed

_N_SHOWN = 6


def open_encoded_table(
    path: Path, expected: Preprocessing, encoding: TableEncoding, keep: Sequence[str] = ()
) -> SampleSource:
    """Return the rows of a table, which needs no target; columns that the run does not use are ignored with a note.

    keep: columns that are used otherwise. UsageError for a kind of file that cannot be read, DataError for a file
    without the columns of the run.
    """
    file = encoded_file(path, encoding)
    names = present_columns(file, encoding)
    extra = [name for name in file.column_names() if name not in (*names, *keep, encoding.target)]
    notes = [f"columns that the run does not use: {listed(extra, _N_SHOWN)}"] if extra else []
    unseen: Counter[str] = Counter()
    read = partial(_encoded_rows, file, names, encoding, unseen)
    return SampleSource(file.location, expected, read, notes=tuple(notes), late_notes=lambda: unseen_notes(unseen))


def _encoded_rows(
    file: TableFile, names: list[str], encoding: TableEncoding, unseen: Counter[str], n_rows: int
) -> Iterator[SampleBatch]:
    with located(file):
        for frame in file.read(names, n_rows):
            if len(frame):
                yield SampleBatch(encode(frame, encoding, unseen))
