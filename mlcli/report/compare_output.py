"""A comparison in any format, to stdout or to a file."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from mlcli.errors import MlcliError
from mlcli.report.compare_report import print_comparison
from mlcli.report.compare_tables import TableOptions
from mlcli.statistics.comparison import Comparison


def write_comparison(
    comparison: Comparison, output_format: str, options: TableOptions, output: Path | None = None
) -> None:
    """Write to a file, beside its target and renamed, or to stdout; MlcliError for a file that cannot be written."""
    if output is None:
        _write(comparison, output_format, options)
        return
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        _write(comparison, output_format, options)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text.getvalue(), encoding="utf-8")
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MlcliError(f"{output}: cannot be written: {error.strerror or error}") from error


def _write(comparison: Comparison, output_format: str, options: TableOptions) -> None:
    if output_format == "html":
        from mlcli.report.compare_html import comparison_html

        sys.stdout.write(comparison_html(comparison, options))
    else:
        print_comparison(comparison, output_format, options)
