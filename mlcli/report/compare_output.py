"""A comparison in any format, to stdout or to a file."""

from __future__ import annotations

from pathlib import Path

from mlcli.report.compare_report import print_comparison
from mlcli.report.compare_tables import TableOptions
from mlcli.report.output_file import stdout_into
from mlcli.report.safe_text import write_text
from mlcli.statistics.comparison import Comparison


def write_comparison(
    comparison: Comparison, output_format: str, options: TableOptions, output: Path | None = None
) -> None:
    """Write to a file, whole or not at all, or to stdout; MlcliError for a file that cannot be written."""
    with stdout_into(output):
        if output_format == "html":
            from mlcli.report.compare_html import comparison_html

            write_text(comparison_html(comparison, options))
        else:
            print_comparison(comparison, output_format, options)
