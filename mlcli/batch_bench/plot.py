"""Throughput against batch size, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.batch_bench.records import BatchBenchRecord, BenchSeries, BenchSubject, Phase
from mlcli.batch_bench.report import PHASE_WORDS
from mlcli.rendering.plots import GREY, PALETTE, RED, new_figure, plain_axes, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_batch_bench_plots(record: BatchBenchRecord, directory: Path) -> list[Path]:
    """Draw one picture for each phase that was measured; returns the files."""
    return [
        save_figure(_draw(record, phase), directory / f"batch_bench_{PHASE_WORDS[phase]}.png")
        for phase in record.settings.phases
        if any(series.phase == phase and series.figures for series in record.series)
    ]


def _draw(record: BatchBenchRecord, phase: Phase) -> Figure:
    figure = new_figure(9, 5.4)
    axes = figure.subplots()
    for color, subject in zip(PALETTE, record.subjects, strict=False):
        series = [
            one
            for one in record.series
            if (one.backend, one.threads, one.phase) == (subject.backend, subject.threads, phase)
        ]
        _draw_line(axes, [one for one in series if one.figures is not None], subject, record, color)
    _draw_out_of_memory(axes, [one for one in record.series if one.phase == phase and one.status == "out of memory"])
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_sizes(axes, sorted({one.batch_size for one in record.series}))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("batch size (samples)")
    axes.set_ylabel("samples per second")
    plain_axes(axes)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    parameters = f", {record.n_parameters:,} parameters" if record.n_parameters else ""
    figure.suptitle(
        f"Throughput of {PHASE_WORDS[phase]} by batch size: {record.dataset}, {record.model}{parameters}, "
        f"{record.settings.precision}\n"
        "line: medians; band: quartiles; ring: smallest size within 5 % of the best",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _draw_line(
    axes: Axes, series: list[BenchSeries], subject: BenchSubject, record: BatchBenchRecord, color: str
) -> None:
    measured = [(one.batch_size, one.figures) for one in series if one.figures is not None]
    if not measured:
        return
    sizes = [size for size, _ in measured]
    axes.plot(
        sizes, [figures.samples_per_second for _, figures in measured], color=color, marker="o", markersize=4,
        linewidth=1.8, label=_label(subject, record),
    )  # fmt: skip
    axes.fill_between(
        sizes,
        [size / figures.third_quartile_seconds for size, figures in measured],
        [size / figures.first_quartile_seconds for size, figures in measured],
        color=color,
        alpha=0.2,
        linewidth=0,
    )
    _draw_ceiling(axes, series[-1], subject, color, _label(subject, record))
    for advice in record.advice:
        if (advice.backend, advice.threads, advice.phase) == (subject.backend, subject.threads, series[0].phase):
            axes.plot(
                advice.batch_size, advice.samples_per_second, marker="o", markersize=11, markerfacecolor="none",
                markeredgecolor=color, markeredgewidth=1.6, linestyle="none",
            )  # fmt: skip


def _label(subject: BenchSubject, record: BatchBenchRecord) -> str:
    several = len({other.threads for other in record.subjects}) > 1
    return f"{subject.backend}, {subject.threads} threads" if several else subject.backend


def _draw_ceiling(axes: Axes, series: BenchSeries, subject: BenchSubject, color: str, label: str) -> None:
    """The throughput at which the operations of a sample would run at the speed of the fastest matrix product."""
    figures = series.figures
    if figures is None or not figures.flops or not subject.peak_flops:
        return
    ceiling = subject.peak_flops / (figures.flops * figures.seconds_per_sample)
    axes.axhline(
        ceiling, color=color, linestyle="--", linewidth=1.2,
        label=f"{label}: at the speed of its matrix product, {subject.peak_flops / 1e9:,.0f} GFLOP/s",
    )  # fmt: skip


def _draw_out_of_memory(axes: Axes, series: list[BenchSeries]) -> None:
    if series:
        bottom = axes.get_ylim()[0]
        axes.plot(
            [one.batch_size for one in series], [bottom] * len(series), marker="x", color=RED, linestyle="none",
            label="out of memory", clip_on=False,
        )  # fmt: skip


def _label_sizes(axes: Axes, sizes: list[int]) -> None:
    """The sizes themselves as ticks; of many, those that have room for their labels."""
    room = (sizes[-1] / sizes[0]) ** 0.055  # a factor, because the axis is logarithmic
    shown: list[int] = []
    for size in sizes:
        if not shown or size >= room * shown[-1]:
            shown.append(size)
    axes.set_xticks(shown, [f"{size:,}" for size in shown], color=GREY)
    axes.set_xticks([], minor=True)
