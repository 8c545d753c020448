"""The pictures of a comparison: learning curves, accuracy against time, differences, and who is right where."""

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

_LINES = ("-", "--", ":", "-.")  # curves that lie upon one another can still be told apart


def comparison_figures(comparison: Comparison) -> dict[str, Figure]:
    """The figures by file name, without those that the runs have nothing for."""
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
    """Draw every figure into a directory as PNG; returns the files."""
    figures = comparison_figures(comparison)
    return [save_figure(figure, directory / f"{name}.png") for name, figure in figures.items()]


def _color(ran: Sequence[Variant], variant: Variant) -> str:
    return PALETTE[ran.index(variant) % len(PALETTE)]


def _watched(variants: Sequence[Variant]) -> str:
    """The split whose accuracy all runs know epoch by epoch."""
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
    figure.suptitle(f"learning curves: mean over seeds, and their range\n{_means_of(watched)}", x=0.01, ha="left")
    return figure


def _means_of(watched: str) -> str:
    return "on validation data" if watched == "validation" else "on training data, while it was trained"


def _values_of(name: str) -> Callable[[EpochRecord], float]:
    def value(record: EpochRecord) -> float:
        found = getattr(record, name)
        return float("nan") if found is None else float(found)

    return value


def _by_epoch(variant: Variant, value: Callable[[EpochRecord], float]) -> NDArray[np.float64]:
    """(n_seeds, n_epochs), as far as all seeds went."""
    n_epochs = min(len(run.history) for run in variant.runs)
    return np.array([[value(record) for record in run.history[:n_epochs]] for run in variant.runs])


def _band(axes: Axes, variant: Variant, value: Callable[[EpochRecord], float], color: str, line: str) -> None:
    values = _by_epoch(variant, value)
    epochs = np.arange(1, values.shape[1] + 1)
    axes.plot(epochs, values.mean(axis=0), color=color, linestyle=line, linewidth=1.8, label=plot_text(variant.label))
    axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, linewidth=0)


def _accuracy_against_time(ran: Sequence[Variant], variants: Sequence[Variant]) -> Figure:
    """Seconds of training on a logarithmic axis, because engines may differ tenfold."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    watched = _watched(variants)
    for variant in variants:
        color = _color(ran, variant)
        seconds = np.cumsum(_by_epoch(variant, _values_of("seconds")), axis=1)
        accuracies = _by_epoch(variant, _values_of(f"{watched}_accuracy"))
        for own_seconds, own_accuracies in zip(seconds, accuracies, strict=True):
            axes.plot(own_seconds, own_accuracies, color=color, alpha=0.25, linewidth=1)
        axes.plot(
            seconds.mean(axis=0), accuracies.mean(axis=0), color=color, linewidth=2, label=plot_text(variant.label)
        )
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("training accuracy" if watched == "train" else "validation accuracy")
    axes.legend(frameon=False, fontsize=9)
    plain_axes(axes)
    figure.suptitle(f"time to accuracy: mean over seeds, and each seed\n{_means_of(watched)}", x=0.01, ha="left")
    return figure


def _differences(comparison: Comparison) -> Figure:
    """A forest plot: one row a variant, differences from the reference with their 95 % intervals."""
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
    left.set_xlabel(f"accuracy minus that of {plot_text(comparison.reference or '')} (points)")
    right.set_xlabel(f"fit time over that of {plot_text(comparison.reference or '')}")
    for axes in (left, right):
        plain_axes(axes)
    figure.suptitle("differences from the reference, with 95 % intervals", x=0.01, ha="left")
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
    """How many test samples all, none, or one variant alone gets right, and on how many every two disagree."""
    figure = new_figure(10, 1.9 + 0.42 * (len(ran) + 3))
    bars, matrix = figure.subplots(1, 2)
    correct = np.array([_majority(variant.runs) for variant in ran])
    n_right = correct.sum(axis=0)
    n_samples = correct.shape[1]
    counts = {"none right": int((n_right == 0).sum())}
    for variant, own in zip(ran, correct, strict=True):
        counts[f"only {plot_text(variant.label)} right"] = int((own & (n_right == 1)).sum())
    counts["some right"] = int(((n_right > 1) & (n_right < len(ran))).sum())
    bars.barh(list(counts), list(counts.values()), color=[GREY, *(_color(ran, v) for v in ran), "#cccccc"])
    for row, count in enumerate(counts.values()):
        bars.text(count, row, f" {count:,}", va="center", fontsize=9)
    bars.margins(x=0.15)
    bars.set_xlabel(f"test samples of {n_samples:,}; all are right on {int((n_right == len(ran)).sum()):,}")
    plain_axes(bars)
    _draw_disagreement(matrix, ran, correct)
    figure.suptitle("agreement: which test samples a variant gets right with most seeds", x=0.01, ha="left")
    return figure


def _majority(runs: Sequence[MeasuredRun]) -> NDArray[np.bool_]:
    """Right with more than half of the seeds; bool (n_test,)."""
    return np.asarray(np.mean([run.correct for run in runs], axis=0) > 0.5)


def _draw_disagreement(axes: Axes, ran: Sequence[Variant], correct: NDArray[np.bool_]) -> None:
    labels = [plot_text(variant.label) for variant in ran]
    counts = np.array([[int((own != other).sum()) for other in correct] for own in correct])
    axes.imshow(counts, cmap="Blues", vmax=max(1, 2 * counts.max()))
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("samples on which one of the two is wrong", fontsize=10)
