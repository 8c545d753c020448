"""Plots of throughput against batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.batch_bench.advice import counted
from mlcli.batch_bench.records import PHASE_TITLES, BatchBenchRecord, BenchEngine, BenchSeries, Phase
from mlcli.rendering.plots import RED, SeriesStyle, new_figure, plain_axes, save_figures, series_styles, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def save_batch_bench_plots(record: BatchBenchRecord, directory: Path, plot_format: str) -> list[Path]:
    """Draw one plot for each phase that was measured, and return the files."""
    figures = {
        f"batch_bench_{PHASE_TITLES[phase]}": _draw(record, phase)
        for phase in record.settings.phases
        if any(series.phase == phase and series.statistics for series in record.series)
    }
    return save_figures(figures, directory, plot_format)


def _draw(record: BatchBenchRecord, phase: Phase) -> Figure:
    figure = new_figure(9, 5.4)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for engine, style in zip(record.engines, series_styles([one.backend for one in record.engines]), strict=True):
        series = [one for one in record.series if one.group == (engine.backend, engine.threads, phase)]
        _draw_engine(axes, series, engine, record, style)
    _draw_out_of_memory(axes, [one for one in record.series if one.phase == phase and one.status == "out of memory"])
    axes.set_xlabel("batch size (samples)")
    axes.set_ylabel("samples per second")
    plain_axes(axes)
    _label_sizes(axes, sorted({one.batch_size for one in record.series}))
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    parameters = f", {record.n_parameters:,} parameters" if record.n_parameters else ""
    set_title(
        figure,
        f"{PHASE_TITLES[phase].capitalize()} throughput by batch size: {record.dataset} {record.model}{parameters}, "
        f"{record.settings.precision}",
        "line: medians; band: quartiles; ring: smallest batch size within 5 % of peak throughput",
    )
    return figure


def _draw_engine(
    axes: Axes, series: list[BenchSeries], engine: BenchEngine, record: BatchBenchRecord, style: SeriesStyle
) -> None:
    measured = [(one.batch_size, one.statistics) for one in series if one.statistics is not None]
    if not measured:
        return
    color = style.color
    label = engine.backend
    if record.has_several_thread_counts:
        label += f", {counted(engine.threads, 'thread')}"
    sizes = [size for size, _ in measured]
    throughputs = [statistics.samples_per_second for _, statistics in measured]
    axes.plot(sizes, throughputs, color=color, marker=style.marker, markersize=5, linewidth=1.8, label=label)
    low = [size / statistics.third_quartile_seconds for size, statistics in measured]
    high = [size / statistics.first_quartile_seconds for size, statistics in measured]
    axes.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0)
    _draw_ceiling(axes, series[0], engine, color, label)
    for advice in record.advice:
        if (advice.backend, advice.threads, advice.phase) == series[0].group:
            axes.scatter(
                advice.batch_size, advice.samples_per_second, s=120, facecolors="none", edgecolors=color, linewidths=1.6
            )


def _draw_ceiling(axes: Axes, series: BenchSeries, engine: BenchEngine, color: str, label: str) -> None:
    """Draw the throughput at which the operations of a sample run at the speed of the fastest matrix product."""
    statistics = series.statistics
    if statistics is None or not statistics.flops or not engine.peak_flops:
        return
    ceiling = engine.peak_flops / (statistics.flops * statistics.seconds_per_sample)
    label = f"{label}: limit of its matrix product, {engine.peak_flops / 1e9:,.0f} GFLOP/s"
    axes.axhline(ceiling, color=color, linestyle="--", linewidth=1.2, label=label)


def _draw_out_of_memory(axes: Axes, series: list[BenchSeries]) -> None:
    if series:
        sizes = [one.batch_size for one in series]
        heights = [axes.get_ylim()[0]] * len(series)
        axes.plot(sizes, heights, marker="x", color=RED, linestyle="none", label="out of memory", clip_on=False)


def _label_sizes(axes: Axes, sizes: list[int]) -> None:
    """Use the sizes as ticks; of many, those whose labels do not overlap."""
    distance = (sizes[-1] / sizes[0]) ** 0.055  # a factor, because the axis is logarithmic
    shown: list[int] = []
    for size in sizes:
        if not shown or size >= distance * shown[-1]:
            shown.append(size)
    axes.set_xticks(shown, [f"{size:,}" for size in shown])
    axes.set_xticks([], minor=True)
