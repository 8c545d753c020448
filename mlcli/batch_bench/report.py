"""The report of a benchmark: a table for each engine and phase, then the advice; or JSON, CSV and Markdown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from mlcli.batch_bench.advice import advice_sentence, counted
from mlcli.batch_bench.records import (
    PHASE_TITLES,
    BatchBenchRecord,
    BenchEngine,
    BenchSeries,
    SeriesStatistics,
)
from mlcli.rendering.console import OutputFormat, escape, result_console
from mlcli.rendering.tables import print_csv, print_markdown
from mlcli.text import comma_separated, to_json

_UNLIMITED_WIDTH = 10_000


@dataclass(frozen=True)
class _Column:
    title: str
    text: Callable[[BenchSeries, SeriesStatistics], str]
    rank: int = 0  # on a narrow terminal the highest is dropped first; 0 always stays


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}" if fraction < 0.0995 else f"{fraction:.0%}"


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


_STATUS_TITLE = "time per\nbatch"
_FIRST_TITLES = ("batch\nsize", "steps per\nepoch")
_COLUMNS = (
    _Column("loss", lambda series, _: "" if series.loss is None else f"{series.loss:.3f}", rank=3),
    _Column(_STATUS_TITLE, lambda _, statistics: seconds_text(statistics.median_seconds)),
    _Column("±", lambda _, statistics: _percent(statistics.half_width), rank=6),
    _Column("IQR", lambda _, statistics: f"{statistics.spread:.0%}", rank=2),
    _Column("p95", lambda _, statistics: seconds_text(statistics.p95_seconds), rank=10),
    _Column("time per\nsample", lambda _, statistics: seconds_text(statistics.seconds_per_sample), rank=8),
    _Column("samples/s", lambda _, statistics: f"{statistics.samples_per_second:,.0f}"),
    _Column("speed-up", lambda _, statistics: f"{_three_digits(statistics.speedup)}x", rank=1),
    _Column(
        "GFLOP/s",
        lambda _, statistics: "" if statistics.flops is None else _three_digits(statistics.flops / 1e9),
        rank=5,
    ),
    _Column("of\npeak", lambda _, statistics: _percent(statistics.share_of_peak), rank=7),
    _Column(
        "peak\nmemory",
        lambda series, _: "" if series.peak_memory_bytes is None else f"{series.peak_memory_bytes / 2**20:,.0f} MiB",
        rank=9,
    ),
    _Column("first\ncall", lambda series, _: seconds_text(series.first_call_seconds), rank=4),
)


def print_batch_bench(record: BatchBenchRecord, output_format: str) -> None:
    """Print a benchmark to stdout. JSON holds every raw sample, CSV the statistics in plain units."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(batch_bench_document(record)))
        case OutputFormat.CSV:
            print_csv([flat_row(series, record) for series in record.series])
        case OutputFormat.MARKDOWN:
            _print_markdown(record)
        case OutputFormat.TABLE:
            _print_tables(record)


def _print_tables(record: BatchBenchRecord) -> None:
    console = result_console()
    for title, group in _titled_groups(record):
        if all(series.status == "not applicable" for series in group):
            console.print(f"{title}: not applicable. {group[0].reason}\n", markup=False, soft_wrap=True)
        else:
            _print_series_table(title, group)
    for line in closing_lines(record):
        console.print(line, markup=False, soft_wrap=True)


def _print_markdown(record: BatchBenchRecord) -> None:
    titles = [title.replace("\n", " ") for title in (*_FIRST_TITLES, *(column.title for column in _COLUMNS))]
    for title, group in _titled_groups(record):
        sys.stdout.write(f"**{title}**\n\n")
        print_markdown([dict(zip(titles, _cells(series, _COLUMNS), strict=True)) for series in group])
        sys.stdout.write("\n")
    for line in closing_lines(record):
        sys.stdout.write(f"    {line.strip()}\n" if line.startswith("  ") else f"- {line}\n")


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


def _print_series_table(title: str, series: Sequence[BenchSeries]) -> None:
    """Print a table with the columns that fit the terminal, and the reason of each size that ran out of memory."""
    console = result_console()
    columns = list(_COLUMNS)
    table = _table(title, series, columns)
    while _width(table, console) > console.width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
        table = _table(title, series, columns)
    dropped = [column.title.replace("\n", " ") for column in _COLUMNS if column not in columns]
    # A table that still does not fit exceeds the width: no number is cut.
    console.width = max(console.width, _width(table, console))
    console.print(table)
    if dropped:
        console.print(f"not shown at this width: {', '.join(dropped)}", markup=False, soft_wrap=True)
    for one in series:
        if one.status == "out of memory":
            console.print(f"{one.batch_size:,}: {one.reason}", markup=False, soft_wrap=True)


def _width(table: Table, console: Console) -> int:
    """Return the natural width of the table."""
    return console.measure(table, options=console.options.update_width(_UNLIMITED_WIDTH)).maximum


def _table(title: str, series: Sequence[BenchSeries], columns: Sequence[_Column]) -> Table:
    table = Table(title=escape(title), box=ROUNDED, title_justify="left", title_style="bold", padding=(0, 1))
    for name in (*_FIRST_TITLES, *(column.title for column in columns)):
        table.add_column(escape(name), justify="right", no_wrap=True)
    for one in series:
        table.add_row(*map(escape, _cells(one, columns)))
    return table


def _cells(series: BenchSeries, columns: Sequence[_Column]) -> list[str]:
    is_short = series.last_batch_size != series.batch_size
    steps = f"{series.steps_per_epoch:,}" + (f", last {series.last_batch_size:,}" if is_short else "")
    return [f"{series.batch_size:,}", steps, *(_cell(series, column) for column in columns)]


def _cell(series: BenchSeries, column: _Column) -> str:
    if series.statistics is not None:
        return column.text(series, series.statistics)
    return series.status if column.title == _STATUS_TITLE else ""


def closing_lines(record: BatchBenchRecord) -> list[str]:
    """Return a line on each engine, the columns and the time, then the advice with the commands that train so."""
    lines = [_engine_line(record, engine) for engine in record.engines]
    lines.append("±: half-width of the 95 % CI of the median; IQR: interquartile range; both relative to the median")
    timing = record.timing
    lines.append(
        f"measured for {timing.measured_seconds:.1f} s of {timing.wall_seconds - timing.startup_seconds:.1f} s, after "
        f"{timing.startup_seconds:.1f} s of start-up ({timing.unmeasured_share:.0%} warm-up and overhead)"
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


def batch_bench_document(record: BatchBenchRecord) -> dict[str, object]:
    """Return the record as plain values, raw samples included, with what is derived from them."""
    document = asdict(record)
    document = {"schema_version": document.pop("schema_version")} | document
    document["settings"]["tile"] = False  # kept for readers of schema version 1
    document["subjects"] = [_engine_document(engine) for engine in record.engines]
    document["series"] = [_series_document(series) for series in record.series]
    document["timing"] |= {
        "harness_seconds": record.timing.harness_seconds,
        "unmeasured_share": record.timing.unmeasured_share,
    }
    several = record.has_several_thread_counts
    document["advice"] = [
        asdict(advice) | {"sentence": advice_sentence(advice, several_threads=several)} for advice in record.advice
    ]
    del document["engines"]
    return document


def _engine_document(engine: BenchEngine) -> dict[str, object]:
    document = asdict(engine)
    document["fastest_reference_seconds"] = document.pop("fastest_probe_seconds")
    document["peak_flops"] = engine.peak_flops
    document["matrix_products"] = [{"n": n, "seconds": list(seconds)} for n, seconds in engine.matrix_products.items()]
    return document


def _series_document(series: BenchSeries) -> dict[str, object]:
    document = asdict(series)
    document["references"] = document.pop("probes")
    document["figures"] = document.pop("statistics")
    if series.statistics is not None:
        document["figures"] |= {"spread": series.statistics.spread, "half_width": series.statistics.half_width}
    return document


_CSV_COLUMNS = comma_separated(
    "backend,threads,phase,batch_size,status,steps_per_epoch,last_batch_size,loss,precision,compiled,transfer,"
    "median_seconds,median_low_seconds,median_high_seconds,first_quartile_seconds,third_quartile_seconds,p95_seconds,"
    "seconds_per_sample,samples_per_second,speedup,flops,share_of_peak,peak_memory_bytes,first_call_seconds,"
    "n_samples_taken,n_samples_disturbed,median_of_all_seconds,calls_per_sample,reason"
)


def flat_row(series: BenchSeries, record: BatchBenchRecord) -> dict[str, object]:
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
