"""The plots of a comparison: learning curves, accuracy against time, differences, and agreement on test samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.compare.records import Comparison, Variant
from mlcli.rendering.plots import GREY, PALETTE, new_figure, plain_axes, plot_text, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlcli.compare.statistics.accuracy import AccuracyDifference
    from mlcli.compare.statistics.times import TimeRatio

_LINES = ("-", "--", ":", "-.")  # distinguishes curves that overlap


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """Return the figures by file name, without those for which the runs have no data."""
    ran = comparison.ran
    iterative = [variant for variant in ran if all(len(run.history) > 1 for run in variant.runs)]
    figures = {}
    if iterative:
        figures["learning_curves"] = _learning_curves(ran, iterative)
        figures["accuracy_against_time"] = _accuracy_against_time(ran, iterative)
    if any(pair.reference == comparison.reference for pair in comparison.pairs):
        figures["differences"] = _differences(comparison)
    if len(ran) > 1 and len({run.test_digest for variant in ran for run in variant.runs}) == 1:
        figures["agreement"] = _agreement(ran)
    return figures


def save_comparison_plots(comparison: Comparison, directory: Path) -> list[Path]:
    """Write every figure to a PNG file in the directory, and return the files."""
    figures = comparison_figures(comparison)
    return [save_figure(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _color(ran: Sequence[Variant], variant: Variant) -> str:
    return PALETTE[ran.index(variant) % len(PALETTE)]


def _watched(variants: Sequence[Variant]) -> str:
    """Return the split whose accuracy all runs have for every epoch."""
    rows = [record for variant in variants for run in variant.runs for record in run.history]
    return "validation" if all(record.validation_accuracy is not None for record in rows) else "train"


def _data_of(watched: str) -> str:
    return "on validation data" if watched == "validation" else "on training data (running mean during the epoch)"


def _by_epoch(variant: Variant, name: str) -> NDArray[np.float64]:
    """Return a field of the history, float64 (n_seeds, n_epochs), up to the last epoch that all seeds have."""
    n_epochs = min(len(run.history) for run in variant.runs)
    values = [[getattr(record, name) for record in run.history[:n_epochs]] for run in variant.runs]
    return np.array(values, dtype=np.float64)  # None becomes nan


def _learning_curves(ran: Sequence[Variant], variants: Sequence[Variant]) -> Figure:
    figure = new_figure(10, 4)
    from matplotlib.ticker import MaxNLocator

    watched = _watched(variants)
    for axes, name, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), (" (nats per sample)", ""), strict=True):
        for variant in variants:
            values = _by_epoch(variant, f"{watched}_{name}")
            epochs = np.arange(1, values.shape[1] + 1)
            style = {"color": _color(ran, variant), "linestyle": _LINES[ran.index(variant) % len(_LINES)]}
            axes.plot(epochs, values.mean(axis=0), **style, linewidth=1.8, label=plot_text(variant.label))
            low, high = values.min(axis=0), values.max(axis=0)
            axes.fill_between(epochs, low, high, color=style["color"], alpha=0.18, linewidth=0)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(f"{'training' if watched == 'train' else watched} {name}{unit}")
        plain_axes(axes)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"Learning curves: mean and range over seeds\n{_data_of(watched)}", x=0.01, ha="left")
    return figure


def _accuracy_against_time(ran: Sequence[Variant], variants: Sequence[Variant]) -> Figure:
    """Draw accuracy against seconds of training, logarithmic because engines may differ tenfold."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    watched = _watched(variants)
    for variant in variants:
        color, label = _color(ran, variant), plot_text(variant.label)
        seconds = np.cumsum(_by_epoch(variant, "seconds"), axis=1)
        accuracies = _by_epoch(variant, f"{watched}_accuracy")
        axes.plot(seconds.T, accuracies.T, color=color, alpha=0.25, linewidth=1)
        axes.plot(seconds.mean(axis=0), accuracies.mean(axis=0), color=color, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("training accuracy" if watched == "train" else "validation accuracy")
    axes.legend(frameon=False, fontsize=9)
    plain_axes(axes)
    figure.suptitle(f"Accuracy against time: mean over seeds, and each seed\n{_data_of(watched)}", x=0.01, ha="left")
    return figure


def _differences(comparison: Comparison) -> Figure:
    """Draw a row per variant: its differences from the reference, with confidence intervals if there are any."""
    pairs = [pair for pair in comparison.pairs if pair.reference == comparison.reference]
    figure = new_figure(10, 1.8 + 0.4 * len(pairs))
    left, right = figure.subplots(1, 2, sharey=True)
    for row, pair in enumerate(reversed(pairs)):
        _draw_interval(left, row, pair.accuracy, unit=0.01)
        _draw_interval(right, row, pair.time)
    left.axvline(0, color=GREY, linewidth=1)
    right.axvline(1, color=GREY, linewidth=1)
    right.set_xscale("log")
    left.set_yticks(range(len(pairs)), [plot_text(pair.variant) for pair in reversed(pairs)])
    left.set_ylim(-0.6, len(pairs) - 0.4)
    left.set_xlabel(f"accuracy relative to {plot_text(comparison.reference or '')} (percentage points)")
    right.set_xlabel(f"fit time relative to {plot_text(comparison.reference or '')}")
    for axes in (left, right):
        plain_axes(axes)
    has_intervals = any(pair.accuracy and pair.accuracy.low is not None for pair in pairs)
    intervals = " with 95 % confidence intervals" if has_intervals else " (one seed: no intervals)"
    figure.suptitle(f"Differences from the reference{intervals}", x=0.01, ha="left")
    return figure


def _draw_interval(axes: Axes, row: int, found: AccuracyDifference | TimeRatio | None, unit: float = 1.0) -> None:
    if found:
        ends = [found.mean if end is None else end for end in (found.low, found.high)]
        axes.plot(np.divide(ends, unit), [row, row], color=PALETTE[0], linewidth=2)
        axes.plot([found.mean / unit], [row], "o", color=PALETTE[0], markersize=6)


def _agreement(ran: Sequence[Variant]) -> Figure:
    """Draw how many test samples none, one or some of the variants get right, and how often every two disagree."""
    figure = new_figure(10, 1.9 + 0.42 * (len(ran) + 3))
    bars, matrix = figure.subplots(1, 2)
    correct = np.array([np.mean([run.correct for run in variant.runs], axis=0) > 0.5 for variant in ran])
    n_right = correct.sum(axis=0)
    n_samples = correct.shape[1]
    counts = {"none right": int((n_right == 0).sum())}
    for variant, is_right in zip(ran, correct, strict=True):
        counts[f"only {plot_text(variant.label)} right"] = int((is_right & (n_right == 1)).sum())
    counts["some right"] = int(((n_right > 1) & (n_right < len(ran))).sum())
    bars.barh(list(counts), list(counts.values()), color=[GREY, *(_color(ran, v) for v in ran), "#cccccc"])
    for row, count in enumerate(counts.values()):
        bars.text(count, row, f" {count:,}", va="center", fontsize=9)
    bars.margins(x=0.15)
    bars.set_xlabel(f"test samples of {n_samples:,}; all are right on {int((n_right == len(ran)).sum()):,}")
    plain_axes(bars)
    _draw_disagreement(matrix, ran, correct)
    figure.suptitle("Agreement: test samples that a variant gets right with most seeds", x=0.01, ha="left")
    return figure


def _draw_disagreement(axes: Axes, ran: Sequence[Variant], correct: NDArray[np.bool_]) -> None:
    labels = [plot_text(variant.label) for variant in ran]
    counts = np.array([(correct != row).sum(axis=1) for row in correct])
    axes.imshow(counts, cmap="Blues", vmax=max(1, 2 * counts.max()))
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("disagreements (test samples)", fontsize=10)
