"""What results are printed with: consoles, tables and plots. This module imports neither rich nor matplotlib."""

from __future__ import annotations

import sys
from enum import StrEnum

from mlcli.rendering.streams import is_unicode
from mlcli.text import to_json


class OutputFormat(StrEnum):
    """The format of a result on stdout."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


class PlotFormat(StrEnum):
    """The format of a plot file, which is also its suffix."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


SCORE_SUFFIXES = (".csv", ".parquet", ".json")  # of files with one row per sample, see score_files.py

_n_documents = 0


def print_json(document: object) -> None:
    """Print a result as the only JSON document of this process, in ASCII unless stdout is in UTF-8."""
    global _n_documents
    _n_documents += 1
    sys.stdout.write(to_json(document, ascii_only=not is_unicode(sys.stdout)))


def has_printed_json() -> bool:
    """Return whether a result was printed as JSON, after which no other document may follow."""
    return _n_documents > 0
