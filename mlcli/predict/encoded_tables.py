"""Rows of a table for a run that was trained on a person's own table: columns by name, encoded as the run did it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlcli.data.own.encoding import encode, unseen_notes
from mlcli.data.own.table import encoded_file, present_columns
from mlcli.data.own.table_file import TableFile, located
from mlcli.predict.kept_columns import checked_columns, kept_cells
from mlcli.predict.samples import SampleBatch, SampleSource
from mlcli.records import Preprocessing, TableEncoding
from mlcli.text import listed

_N_SHOWN = 6


def open_encoded_table(
    path: Path, expected: Preprocessing, encoding: TableEncoding, keep: Sequence[str] = ()
) -> SampleSource:
    """Return the rows of a table, which needs no target; columns that the run does not use are ignored with a note.

    keep: columns that the batches carry. UsageError for a kind of file that cannot be read and for one without these
    columns, DataError for one without the columns of the run.
    """
    file = replace(encoded_file(path, encoding), verbatim=tuple(keep))
    names = present_columns(file, encoding)
    has_numbers = checked_columns(file, keep)
    extra = [name for name in file.column_names() if name not in (*names, *keep, encoding.target)]
    notes = [f"columns that the run does not use: {listed(extra, _N_SHOWN)}"] if extra else []
    unseen: Counter[str] = Counter()
    read = partial(_encoded_rows, file, names, has_numbers, encoding, unseen)
    return SampleSource(file.location, expected, read, notes=tuple(notes), late_notes=lambda: unseen_notes(unseen))


def _encoded_rows(
    file: TableFile,
    names: Sequence[str],
    has_numbers: Mapping[str, bool],  # of the columns that are kept
    encoding: TableEncoding,
    unseen: Counter[str],
    n_rows: int,
) -> Iterator[SampleBatch]:
    with located(file):
        for frame in file.read({*names, *has_numbers}, n_rows):
            if len(frame):
                values = {name: file.values_of(frame[name]) for name in names if name in has_numbers}
                x = encode(frame.assign(**values), encoding, unseen)
                yield SampleBatch(x, kept=kept_cells(frame, has_numbers))
