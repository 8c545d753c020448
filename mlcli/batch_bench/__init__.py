"""`mlcli batch-bench`: throughput by batch size, and the smallest batch size that is fast.

Each engine is measured in its own worker process, in interleaved rounds over all batch sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlcli.files import refuse_existing
from mlcli.rendering import PlotFormat
from mlcli.runs import DEFAULT_RUNS_DIR

PHASE_CHOICES = ("forward", "train", "both")
PRECISIONS = ("float32", "tf32", "bf16")
DEFAULT_SIZES = (1, 10, 100, 300, 600, 1000, 6000, 60000)
DEFAULT_MIN_SECONDS = 0.25
_FORMATS_BY_SUFFIX = {".json": "json", ".csv": "csv", ".md": "markdown"}


@dataclass(frozen=True)
class BatchBenchRequest:
    """The options of `mlcli batch-bench`."""

    source: str | None = None  # a YAML file, or a finished run whose weights are used
    backends: str | None = None  # comma-separated
    sizes: str | None = None  # comma-separated, or auto; None: the default sizes that the data can fill
    phase: str = "both"  # one of PHASE_CHOICES
    include_transfer: bool = False
    precision: str | None = None  # of matrix products, one of PRECISIONS
    compiled: bool = False
    min_time: float | None = None  # seconds per batch size; None: DEFAULT_MIN_SECONDS, or max_time if that is less
    max_time: float = 2.0  # seconds per batch size
    repeats: int | None = None  # samples per batch size; None: until the median is known
    flags: Mapping[str, object] = field(default_factory=dict)  # by dotted configuration key
    settings: Sequence[str] = ()  # KEY=VALUE
    threads: str | None = None  # comma-separated
    runs_dir: Path = DEFAULT_RUNS_DIR
    data_dir: Path | None = None
    offline: bool = False
    output_format: str | None = None  # None: by the suffix of output, else table
    output: Path | None = None  # None: stdout
    save_plots: Path | None = None
    plot_format: str = PlotFormat.PNG
    force: bool = False  # replace files that exist
    quiet: bool = False


def run(request: BatchBenchRequest) -> None:
    """Measure, print the result and the notes, and write what was asked for.

    Raises the errors of errors.py. Running out of memory with one batch size is a row of the result, not an error.
    """
    from mlcli.batch_bench import benchmark, plot, report, source
    from mlcli.rendering.console import checked_format, print_notes, stdout_into
    from mlcli.rendering.plots import check_plots

    suffix = request.output.suffix if request.output else ""
    output_format = checked_format(request.output_format or _FORMATS_BY_SUFFIX.get(suffix, "table"))
    if request.output is not None:
        refuse_existing(request.output, force=request.force)
    check_plots(request.save_plots, request.plot_format, force=request.force)
    task = source.task_of(request)
    with report.BenchProgress(quiet=request.quiet) as bar:
        record = benchmark.run_benchmark(task, bar)
    with stdout_into(request.output):
        report.print_batch_bench(record, output_format)
    notes = [*dict.fromkeys(note for engine in record.engines for note in engine.notes), *record.warnings]
    if request.save_plots is not None:
        paths = plot.save_batch_bench_plots(record, request.save_plots, request.plot_format)
        notes.append(f"wrote {', '.join(map(str, paths))}")
    if not request.quiet:
        print_notes(notes)
