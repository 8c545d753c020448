"""Print the tables of the benchmarks, and collect the raw measurements in one JSON document."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from measure import Samples
from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from verdicts import Result, measured_values

Measured = Mapping[str, Mapping[str, Samples]]  # by family and contestant

_PACKAGES = ("numpy", "torch", "keras", "scikit-learn", "typer", "lightning", "skorch", "accelerate", "fastai")
_PIPE_WIDTH = 160


@dataclass(frozen=True)
class Conditions:
    """The conditions of the measurements. load_average: the mean over the minute before the start."""

    cores: int
    threads: int
    load_average: float
    is_cpu_time: bool


def print_rows(results: Sequence[Result], conditions: Conditions) -> None:
    """Print one line per row: medians, ratio and verdict."""
    clock = "processor seconds" if conditions.is_cpu_time else "wall clock"
    table = Table(
        title=f"mlcli against hand-written code: {clock}, {conditions.threads} of {conditions.cores} cores, "
        f"load average {conditions.load_average:.1f} at the start",
        caption="Medians. The ratio is the median of the ratios of each round. Of several baselines, the best is used.",
        box=ROUNDED,
        title_justify="left",
        caption_justify="left",
    )
    for header in ("row", "work: baseline"):
        table.add_column(header)
    for header in ("mlcli", "baseline", "ratio", "allowed"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict")
    for result in results:
        work = f"{result.work} ({result.rival})" if result.rival else result.work
        ratio = "" if result.ratio is None else f"{result.ratio:.3f}"
        cells = [_shown(result.ours, result.figure), _shown(result.theirs, result.figure), ratio, result.allowed]
        table.add_row(result.name, work, *cells, result.verdict)
    console().print(table)


def print_contestants(measured: Measured) -> None:
    """Print the median, minimum and maximum time of every contestant."""
    table = Table(title="every contestant", box=ROUNDED, title_justify="left")
    table.add_column("contestant")
    for header in ("median", "minimum", "maximum"):
        table.add_column(header, justify="right")
    for family in measured.values():
        for name, samples in family.items():
            if samples.rounds:
                seconds = measured_values(samples, "seconds")
                summary = (statistics.median(seconds), min(seconds), max(seconds))
                table.add_row(name, *(_shown(value, "seconds") for value in summary))
        table.add_section()
    if table.row_count:
        console().print(table)


def console() -> Console:
    """Return a console on stdout. A pipe has no width, so it gets a fixed one."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def _shown(value: float | None, figure: str) -> str:
    if value is None:
        return ""
    if figure == "peak_bytes":
        return f"{value / 2**20:,.0f} MiB"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def document(results: Sequence[Result], measured: Measured, conditions: Conditions) -> dict[str, object]:
    """Return all measurements of all rounds as a JSON document."""
    machine = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    return {
        "schema_version": 1,
        "machine": machine | asdict(conditions),
        "rows": [asdict(result) for result in results],
        "samples": {
            family: {name: asdict(samples) for name, samples in contestants.items()}
            for family, contestants in measured.items()
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
