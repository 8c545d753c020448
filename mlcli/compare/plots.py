"""The plots of a comparison: learning curves, accuracy against time, differences, and agreement on test samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.compare.records import Comparison, MeasuredRun, Pair, Variant
from mlcli.records import EpochRecord
from mlcli.rendering.plots import GREY, PALETTE, new_figure, plain_axes, plot_text, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_LINES = ("-", "--", ":", "-.")  # distinguishes curves that overlap


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """Return the figures by file name, without those for which the runs have no data."""
    ran = [variant for variant in comparison.variants if variant.runs]
    is_iterative = [variant for variant in ran if all(len(run.history) > 1 for run in variant.runs)]
    figures = {}
    if is_iterative:
        figures["learning_curves"] = _learning_curves(ran, is_iterative)
        figures["accuracy_against_time"] = _accuracy_against_time(ran, is_iterative)
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


def _learning_curves(ran: Sequence[Variant], variants: Sequence[Variant]) -> Figure:
    figure = new_figure(10, 4)
    watched = _watched(variants)
    from matplotlib.ticker import MaxNLocator

    for axes, name, label in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("loss (nats per sample)", "accuracy"), strict=True
    ):
        for variant in variants:
            _band(axes, variant, _values_of(f"{watched}_{name}"), _color(ran, variant), _LINES[ran.index(variant) % 4])
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(f"{'training' if watched == 'train' else watched} {label}")
        plain_axes(axes)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(f"Learning curves: mean and range over seeds\n{_data_of(watched)}", x=0.01, ha="left")
    return figure


def _data_of(watched: str) -> str:
    return "on validation data" if watched == "validation" else "on training data (running mean during the epoch)"


def _values_of(name: str) -> Callable[[EpochRecord], float]:
    def value(record: EpochRecord) -> float:
        found = getattr(record, name)
        return float("nan") if found is None else float(found)

    return value


def _by_epoch(variant: Variant, value: Callable[[EpochRecord], float]) -> NDArray[np.float64]:
    """Return the values, float64 (n_seeds, n_epochs), up to the last epoch that all seeds have."""
    n_epochs = min(len(run.history) for run in variant.runs)
    return np.array([[value(record) for record in run.history[:n_epochs]] for run in variant.runs])


def _band(axes: Axes, variant: Variant, value: Callable[[EpochRecord], float], color: str, line: str) -> None:
    values = _by_epoch(variant, value)
    epochs = np.arange(1, values.shape[1] + 1)
    axes.plot(epochs, values.mean(axis=0), color=color, linestyle=line, linewidth=1.8, label=plot_text(variant.label))
    axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, linewidth=0)


def _accuracy_against_time(ran: Sequence[Variant], variants: Sequence[Variant]) -> Figure:
    """Draw accuracy against seconds of training, logarithmic because engines may differ tenfold."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    watched = _watched(variants)
    for variant in variants:
        color = _color(ran, variant)
        seconds = np.cumsum(_by_epoch(variant, _values_of("seconds")), axis=1)
        accuracies = _by_epoch(variant, _values_of(f"{watched}_accuracy"))
        for run_seconds, run_accuracies in zip(seconds, accuracies, strict=True):
            axes.plot(run_seconds, run_accuracies, color=color, alpha=0.25, linewidth=1)
        axes.plot(
            seconds.mean(axis=0), accuracies.mean(axis=0), color=color, linewidth=2, label=plot_text(variant.label)
        )
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
        _draw_difference(left, row, pair)
        _draw_ratio(right, row, pair)
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


def _draw_difference(axes: Axes, row: int, pair: Pair) -> None:
    found = pair.accuracy
    if found:
        ends = (found.mean if found.low is None else found.low, found.mean if found.high is None else found.high)
        _draw_interval(axes, row, 100 * found.mean, 100 * ends[0], 100 * ends[1])


def _draw_ratio(axes: Axes, row: int, pair: Pair) -> None:
    found = pair.time
    if found:
        _draw_interval(axes, row, found.mean, found.low or found.mean, found.high or found.mean)


def _draw_interval(axes: Axes, row: int, middle: float, low: float, high: float) -> None:
    axes.plot([low, high], [row, row], color=PALETTE[0], linewidth=2)
    axes.plot([middle], [row], "o", color=PALETTE[0], markersize=6)


def _agreement(ran: Sequence[Variant]) -> Figure:
    """Draw how many test samples none, one or some of the variants get right, and how often every two disagree."""
    figure = new_figure(10, 1.9 + 0.42 * (len(ran) + 3))
    bars, matrix = figure.subplots(1, 2)
    correct = np.array([_majority(variant.runs) for variant in ran])
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


def _majority(runs: Sequence[MeasuredRun]) -> NDArray[np.bool_]:
    """Return on which test samples more than half of the runs are right, bool (n_test,)."""
    return np.asarray(np.mean([run.correct for run in runs], axis=0) > 0.5)


def _draw_disagreement(axes: Axes, ran: Sequence[Variant], correct: NDArray[np.bool_]) -> None:
    labels = [plot_text(variant.label) for variant in ran]
    counts = np.array([[int((row != column).sum()) for column in correct] for row in correct])
    axes.imshow(counts, cmap="Blues", vmax=max(1, 2 * counts.max()))
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("disagreements (test samples)", fontsize=10)
