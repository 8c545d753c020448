"""The table of batch sizes: a row a size, units with every number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table

from mlcli.batch_bench.records import BenchFigures, BenchSeries
from mlcli.rendering.console import escape, result_console

_NO_EDGE = 10_000


@dataclass(frozen=True)
class _Column:
    title: str
    text: Callable[[BenchSeries, BenchFigures], str]
    rank: int = 0  # where the terminal is narrow, the highest goes first; 0 never goes


def seconds_text(seconds: float) -> str:
    """Seconds with three digits, in the unit that suits them: 12.3 µs, 4.56 ms, 7.89 s."""
    for unit, scale in (("µs", 1e6), ("ms", 1e3)):
        if seconds * scale < 999.5:
            return f"{_three_digits(seconds * scale)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


_FIRST_TITLES = ("batch\nsize", "steps per\nepoch")
_COLUMNS = (
    _Column("loss", lambda series, figures: "" if series.loss is None else f"{series.loss:.3f}", rank=3),
    _Column("time per\nbatch", lambda series, figures: seconds_text(figures.median_seconds)),
    _Column("±", lambda series, figures: _percent(figures.half_width), rank=6),
    _Column("IQR", lambda series, figures: f"{figures.spread:.0%}", rank=2),
    _Column("p95", lambda series, figures: seconds_text(figures.p95_seconds), rank=10),
    _Column("time per\nsample", lambda series, figures: seconds_text(figures.seconds_per_sample), rank=8),
    _Column("samples/s", lambda series, figures: f"{figures.samples_per_second:,.0f}"),
    _Column("speed-up", lambda series, figures: f"{_three_digits(figures.speedup)}x", rank=1),
    _Column(
        "GFLOP/s", lambda series, figures: "" if figures.flops is None else _three_digits(figures.flops / 1e9), rank=5
    ),
    _Column("of\npeak", lambda series, figures: _percent(figures.share_of_peak), rank=7),
    _Column("peak\nmemory", lambda series, figures: _mebibytes(series.peak_memory_bytes), rank=9),
    _Column("first\ncall", lambda series, figures: _first_call(series), rank=4),
)
_STATUS_COLUMN = "time per\nbatch"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _mebibytes(n_bytes: int | None) -> str:
    return "" if n_bytes is None else f"{n_bytes / 2**20:,.0f} MiB"


def _first_call(series: BenchSeries) -> str:
    return "" if series.first_call_seconds is None else seconds_text(series.first_call_seconds)


def print_series_table(title: str, series: Sequence[BenchSeries]) -> None:
    """A table on stdout, with the columns that the terminal has room for; a size that ran out of memory says so."""
    console = result_console()
    columns = list(_COLUMNS)
    table = _table(title, series, columns)
    while _width(table, console) > console.width and any(column.rank for column in columns):
        columns.remove(max(columns, key=lambda column: column.rank))
        table = _table(title, series, columns)
    left_out = [column.title.replace("\n", " ") for column in _COLUMNS if column not in columns]
    # The edge gives way rather than the figures.
    console.width = max(console.width, _width(table, console))
    console.print(table)
    if left_out:
        console.print(f"not shown at this width: {', '.join(left_out)}", markup=False, soft_wrap=True)
    for one in series:
        if one.status == "out of memory":
            console.print(f"{one.batch_size:,}: {one.reason}", markup=False, soft_wrap=True)


def _width(table: Table, console: Console) -> int:
    """The width that the table would take where nothing holds it in."""
    return console.measure(table, options=console.options.update_width(_NO_EDGE)).maximum


def _table(title: str, series: Sequence[BenchSeries], columns: Sequence[_Column]) -> Table:
    table = Table(title=escape(title), box=ROUNDED, title_justify="left", title_style="bold", padding=(0, 1))
    for name in (*_FIRST_TITLES, *(column.title for column in columns)):
        table.add_column(escape(name), justify="right", no_wrap=True)
    for one in series:
        table.add_row(*map(escape, _cells(one, columns)))
    return table


def markdown_rows(series: Sequence[BenchSeries]) -> list[dict[str, object]]:
    """The same rows for a pipe table."""
    titles = [title.replace("\n", " ") for title in (*_FIRST_TITLES, *(column.title for column in _COLUMNS))]
    return [dict(zip(titles, _cells(one, _COLUMNS), strict=True)) for one in series]


def _cells(series: BenchSeries, columns: Sequence[_Column]) -> list[str]:
    return [f"{series.batch_size:,}", _steps(series), *(_cell(series, column) for column in columns)]


def _cell(series: BenchSeries, column: _Column) -> str:
    if series.figures is not None:
        return column.text(series, series.figures)
    return series.status if column.title == _STATUS_COLUMN else ""


def _steps(series: BenchSeries) -> str:
    """`469, last 96`: batches in an epoch, and the length of the last one where it is short."""
    is_short = series.last_batch_size != series.batch_size
    return f"{series.steps_per_epoch:,}" + (f", last {series.last_batch_size:,}" if is_short else "")
