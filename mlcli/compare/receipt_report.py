"""The fairness receipt as a reader sees it: first what differed, value by value, then what was held equal."""

from __future__ import annotations

import re
import sys
from collections import Counter

from mlcli.compare.records import Receipt, ReceiptRow
from mlcli.rendering.console import OutputFormat, escape, result_console
from mlcli.rendering.tables import Row, print_csv, print_markdown, print_table
from mlcli.text import to_json

_SCHEMA_VERSION = 1
_MAX_COLUMNS = 4  # with more runs, one column tells how often each value occurs
_DIGEST = re.compile(r"[0-9a-f]{64}")


def print_receipt(receipt: Receipt, output_format: str) -> None:
    """Print a receipt to stdout; JSON and CSV hold digests in full, table and Markdown their first twelve digits."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json({"schema_version": _SCHEMA_VERSION, **receipt_document(receipt)}))
        case OutputFormat.CSV:
            print_csv(_csv_rows(receipt))
        case OutputFormat.MARKDOWN:
            print_markdown([_shown_row(row) for row in (*receipt.different, *_equal(receipt))])
        case OutputFormat.TABLE:
            print_receipt_tables(receipt)


def print_receipt_tables(receipt: Receipt) -> None:
    """Two tables, and which run is which."""
    console = result_console()
    if receipt.different:
        rows = [{key: value for key, value in _shown_row(row).items() if key != "equal"} for row in receipt.different]
        print_table("what differed", rows)
    else:
        console.print("nothing differed", markup=False)
    print_table("what was held equal", _equal_rows(receipt))
    if len(receipt.run_ids) <= _MAX_COLUMNS:
        for number, run_id in enumerate(receipt.run_ids, 1):
            console.print(escape(f"run {number}: {run_id}"))


def receipt_document(receipt: Receipt) -> dict[str, object]:
    """The receipt as plain values."""
    rows = [
        {"part": row.part, "what": row.what, "is_equal": row.is_equal, "values": list(row.values)}
        for row in receipt.rows
    ]
    return {"runs": list(receipt.run_ids), "rows": rows}


def _csv_rows(receipt: Receipt) -> list[Row]:
    return [
        {"part": row.part, "what": row.what, "is_equal": row.is_equal}
        | {f"run_{number}": value for number, value in enumerate(row.values, 1)}
        for row in receipt.rows
    ]


def _equal(receipt: Receipt) -> list[ReceiptRow]:
    return [row for row in receipt.rows if row.is_equal]


def _shown_row(row: ReceiptRow) -> dict[str, object]:
    shown: dict[str, object] = {"part": row.part, "what": row.what, "equal": row.is_equal}
    if len(row.values) <= _MAX_COLUMNS:
        return shown | {f"run {number}": _short(value) for number, value in enumerate(row.values, 1)}
    counts = Counter(_short(value) for value in row.values)
    return shown | {"runs": "; ".join(f"{value} ({n} runs)" for value, n in counts.items())}


def _equal_rows(receipt: Receipt) -> list[Row]:
    """One row a part, with everything that all runs have in common; what no run has is left out."""
    parts: dict[str, list[str]] = {}
    for row in _equal(receipt):
        if row.values[0] is not None:
            parts.setdefault(row.part, []).append(f"{row.what} {_short(row.values[0])}")
    return [{"part": part, "in common": "; ".join(texts)} for part, texts in parts.items()]


def _short(value: str | None) -> str:
    if value is None:
        return "none"
    return value[:12] if _DIGEST.fullmatch(value) else value
