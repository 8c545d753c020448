"""Rows of a table that cannot be used, left out on request: without a label, or with a value of another kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.damaged_rows import N_LISTED, described
from mlcli.data.own.encoding import cannot_be


def without_damaged(rows: ColumnStore, target: str, kinds: Mapping[str, str | None]) -> tuple[ColumnStore, list[str]]:
    """Return the rows with a label and with values of the kinds of their columns, and a note on those left out.

    kinds: of the columns that are features; None: not known.
    """
    is_unlabelled = rows[target].isna().to_numpy()
    is_bad = is_unlabelled.copy()
    for name, kind in kinds.items():
        is_bad |= cannot_be(rows[name], kind)
    found = np.flatnonzero(is_bad)
    count = len(found) + len(rows.bad_lines)
    if not count:
        return rows, []
    places = [f"line {line}" for line in rows.bad_lines[:N_LISTED]]
    places += [f"row {row + 1}{' (no label)' if is_unlabelled[row] else ''}" for row in found[:N_LISTED].tolist()]
    return rows.take(np.flatnonzero(~is_bad)), [f"skipped {described(count, places)}"]
