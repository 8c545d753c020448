"""The report on a conversion: the file, how its scores compare, and the code that loads it."""

from __future__ import annotations

from dataclasses import asdict

from mlcli.convert.conversion import Conversion
from mlcli.convert.formats import FORMATS
from mlcli.rendering.console import OutputFormat, write_text
from mlcli.rendering.tables import Fields, print_summary

_SCHEMA_VERSION = 1


def print_conversion(conversion: Conversion, output_format: str) -> None:
    """Print a conversion to stdout; a table is followed by the Python code, ready to be copied."""
    document = asdict(conversion) | {"is_within": conversion.is_within}
    row = {key: value for key, value in document.items() if key not in ("usage", "notes")}
    document = {"schema_version": _SCHEMA_VERSION, **document}
    print_summary(_title(conversion), _fields(conversion), row, document, output_format)
    if output_format == OutputFormat.MARKDOWN:
        write_text(f"\n```python\n{conversion.usage}```\n")
    elif output_format == OutputFormat.TABLE:
        write_text(f"\n{conversion.usage}")


def _title(conversion: Conversion) -> str:
    return f"{conversion.run_id} as {FORMATS[conversion.target].title}"


def _fields(conversion: Conversion) -> list[Fields]:
    compared = [("compared", f"{conversion.compared} of {conversion.n_samples:,} test samples of {conversion.dataset}")]
    if conversion.largest_difference is not None:
        compared.append((f"largest |difference| from {conversion.backend}", f"{conversion.largest_difference:.3g}"))
    if conversion.largest_relative_difference is not None:
        relative = f"{conversion.largest_relative_difference:.3g} (tolerance {conversion.tolerance:g})"
        compared.append(("relative to the largest score of the sample", relative))
    compared.append(("changed predictions", f"{conversion.n_changed:,}"))
    accuracies = [("accuracy", f"{conversion.accuracy:.6g}")]
    if conversion.reported_accuracy is not None:
        accuracies.append(("accuracy of the run", f"{conversion.reported_accuracy:.6g}"))
    written = (
        f"{conversion.path} ({conversion.n_bytes:,} bytes)"
        if conversion.is_within
        else "nothing, because the tolerance is exceeded"
    )
    return [compared, accuracies, [("written", written)]]
