"""What results are printed with: consoles, tables and plots. This module imports neither rich nor matplotlib."""

from __future__ import annotations

from enum import StrEnum


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
