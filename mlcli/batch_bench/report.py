"""The progress of a benchmark on stderr, and its report: tables and advice, JSON, CSV or Markdown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlcli.batch_bench.advice import advice_sentence, counted
from mlcli.batch_bench.records import PHASE_TITLES, BatchBenchRecord, BenchEngine, BenchSeries, SeriesStatistics
from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.console import escape, message_console, result_console
from mlcli.rendering.tables import print_csv, print_markdown, print_table
from mlcli.text import comma_separated


class BenchProgress:
    """A bar on a terminal, a line per stage otherwise; nothing if quiet."""

    def __init__(self, *, quiet: bool) -> None:
        console = message_console()
        has_bar = console.is_terminal and not console.is_dumb_terminal
        self._lines = None if quiet or has_bar else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=2,  # drawing takes processor time from what is measured
            disable=quiet or not has_bar,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_stage(self, text: str) -> None:
        """Show that a stage begins, e.g. "starting torch"."""
        self._bar.update(self._task, description=escape(text))
        if self._lines is not None:
            self._lines.print(escape(text))

    def on_measurement(self, text: str, n_done: int, n_measurements: int) -> None:
        """Show what is measured next, and how many measurements are complete."""
        self._bar.update(self._task, description=escape(text), completed=n_done, total=n_measurements)


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}" if fraction < 0.0995 else f"{fraction:.0%}"


def _mebibytes(n_bytes: int | None) -> str:
    return "" if n_bytes is None else f"{n_bytes / 2**20:,.0f} MiB"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def seconds_text(seconds: float | None) -> str:
    """Return seconds with three digits in a suitable unit: 12.3 µs, 4.56 ms, 7.89 s; empty for None."""
    if seconds is None:
        return ""
    for unit, scale in (("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{_three_digits(seconds * scale)} {unit}"
    return f"{_three_digits(seconds)} s"


_TIME = "time per\nbatch"
_COLUMNS: Mapping[str, Callable[[BenchSeries, SeriesStatistics], str]] = {
    "loss": lambda series, _: "" if series.loss is None else f"{series.loss:.3f}",
    _TIME: lambda _, statistics: seconds_text(statistics.median_seconds),
    "±": lambda _, statistics: _percent(statistics.half_width),
    "IQR": lambda _, statistics: f"{statistics.spread:.0%}",
    "p95": lambda _, statistics: seconds_text(statistics.p95_seconds),
    "time per\nsample": lambda _, statistics: seconds_text(statistics.seconds_per_sample),
    "samples/s": lambda _, statistics: f"{statistics.samples_per_second:,.0f}",
    "speed-up": lambda _, statistics: f"{_three_digits(statistics.speedup)}x",
    "GFLOP/s": lambda _, statistics: "" if statistics.flops is None else _three_digits(statistics.flops / 1e9),
    "of\npeak": lambda _, statistics: _percent(statistics.fraction_of_peak),
    "peak\nmemory": lambda series, _: _mebibytes(series.peak_memory_bytes),
    "first\ncall": lambda series, _: seconds_text(series.first_call_seconds),
}
# Dropped in this order where the terminal is too narrow.
_OPTIONAL = (
    "p95", "peak\nmemory", "time per\nsample", "of\npeak", "±", "GFLOP/s", "first\ncall", "loss", "IQR", "speed-up"
)  # fmt: skip


def print_batch_bench(record: BatchBenchRecord, output_format: str) -> None:
    """Print a benchmark to stdout. JSON holds every raw sample, CSV the statistics in plain units."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            print_json(_document(record))
        case OutputFormat.CSV:
            print_csv([_csv_row(series, record) for series in record.series])
        case OutputFormat.MARKDOWN:
            _print_markdown(record)
        case OutputFormat.TABLE:
            _print_tables(record)


def _print_tables(record: BatchBenchRecord) -> None:
    console = result_console()
    for title, group in _titled_groups(record):
        if all(series.status == "not applicable" for series in group):
            lines = [f"{title}: not applicable. {group[0].reason}", ""]
        else:
            print_table(title, [_row(series) for series in group], _OPTIONAL)
            lines = [f"{one.batch_size:,}: {one.reason}" for one in group if one.status == "out of memory"]
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
    for line in closing_lines(record):
        console.print(line, markup=False, soft_wrap=True)


def _print_markdown(record: BatchBenchRecord) -> None:
    for title, group in _titled_groups(record):
        sys.stdout.write(f"**{title}**\n\n")
        print_markdown([_row(series) for series in group])
        sys.stdout.write("\n")
    for line in closing_lines(record):
        sys.stdout.write(f"    {line.strip()}\n" if line.startswith("  ") else f"- {line}\n")


def _row(series: BenchSeries) -> dict[str, str]:
    """Return the cells of a table by their column; without statistics, the status replaces the time."""
    steps = f"{series.steps_per_epoch:,}"
    if series.last_batch_size != series.batch_size:
        steps += f", last {series.last_batch_size:,}"
    statistics = series.statistics
    cells = {name: text(series, statistics) if statistics else "" for name, text in _COLUMNS.items()}
    if statistics is None:
        cells[_TIME] = series.status
    return {"batch\nsize": f"{series.batch_size:,}", "steps per\nepoch": steps} | cells


def _titled_groups(record: BatchBenchRecord) -> list[tuple[str, list[BenchSeries]]]:
    groups = [list(group) for _, group in groupby(record.series, key=lambda series: series.group)]
    return [(_title(record, group[0]), group) for group in groups]


def _title(record: BatchBenchRecord, series: BenchSeries) -> str:
    settings = record.settings
    device = next(engine.device for engine in record.engines if (engine.backend, engine.threads) == series.group[:2])
    transfer = "copy to the device included" if settings.include_transfer else "batches already on the device"
    compiled = ", compiled" if settings.compiled else ""
    return (
        f"{series.backend}, {PHASE_TITLES[series.phase]}: {record.dataset} {record.model}, {device}, "
        f"{counted(series.threads, 'thread')}, {settings.precision}{compiled}, {transfer}"
    )


def closing_lines(record: BatchBenchRecord) -> list[str]:
    """Return a line on each engine, the columns and the time, then the advice with the commands that train so."""
    lines = [_engine_line(record, engine) for engine in record.engines]
    lines.append("±: half-width of the 95 % CI of the median; IQR: interquartile range; both relative to the median")
    timing = record.timing
    lines.append(
        f"measured for {timing.measured_seconds:.1f} s of {timing.wall_seconds - timing.startup_seconds:.1f} s, after "
        f"{timing.startup_seconds:.1f} s of start-up ({timing.unmeasured_fraction:.0%} warm-up and overhead)"
    )
    for advice in record.advice:
        lines.append(advice_sentence(advice, several_threads=record.has_several_thread_counts))
        lines += [f"  {advice.command}"] if advice.command else []
    return lines


def _engine_line(record: BatchBenchRecord, engine: BenchEngine) -> str:
    """Return the peak of an engine and how many of its samples were undisturbed."""
    series = [one for one in record.series if one.group[:2] == (engine.backend, engine.threads)]
    n_samples = sum(len(one.samples) for one in series)
    n_undisturbed = n_samples - sum(sum(one.disturbed) for one in series)
    threads = f" with {counted(engine.threads, 'thread')}" if record.has_several_thread_counts else ""
    text = (
        f"{engine.backend}{threads}: {n_undisturbed:,} of {n_samples:,} samples "
        f"undisturbed (speed probe within 10 % of its best, {seconds_text(engine.fastest_probe_seconds)})"
    )
    if engine.peak_flops:
        n = max(engine.matrix_products)
        text += f"; peak {engine.peak_flops / 1e9:,.0f} GFLOP/s (matrix products up to {n:,} x {n:,})"
    return text


def _document(record: BatchBenchRecord) -> dict[str, object]:
    """Return the record as plain values, raw samples included, with what is derived from them."""
    document = asdict(record)
    for item, engine in zip(document["engines"], record.engines, strict=True):
        item["peak_flops"] = engine.peak_flops
        item["matrix_products"] = [{"n": n, "seconds": times} for n, times in engine.matrix_products.items()]
    for item, advice in zip(document["advice"], record.advice, strict=True):
        item["sentence"] = advice_sentence(advice, several_threads=record.has_several_thread_counts)
    return document


_CSV_COLUMNS = comma_separated(
    "backend,threads,phase,batch_size,status,steps_per_epoch,last_batch_size,loss,precision,compiled,transfer,"
    "median_seconds,median_low_seconds,median_high_seconds,first_quartile_seconds,third_quartile_seconds,p95_seconds,"
    "seconds_per_sample,samples_per_second,speedup,flops,fraction_of_peak,peak_memory_bytes,first_call_seconds,"
    "n_samples_taken,n_samples_disturbed,median_of_all_seconds,calls_per_sample,reason"
)


def _csv_row(series: BenchSeries, record: BatchBenchRecord) -> dict[str, object]:
    """Return a series as one row of plain values, the same columns for every series."""
    statistics = series.statistics
    low, high = (statistics and statistics.median_interval) or (None, None)
    values = vars(series) | (vars(statistics) if statistics else {})
    values |= {
        "precision": record.settings.precision,
        "compiled": record.settings.compiled,
        "transfer": "included" if record.settings.include_transfer else "excluded",
        "median_low_seconds": low,
        "median_high_seconds": high,
        "n_samples_taken": len(series.samples),
        "n_samples_disturbed": sum(series.disturbed),
    }
    return {name: values.get(name) for name in _CSV_COLUMNS}
