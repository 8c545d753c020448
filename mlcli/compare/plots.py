"""The plots of a comparison: learning curves, accuracy against time, differences, and agreement on test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.compare.conclusions import difference_text, ratio, score_verdict_text, time_verdict_text, unit_of
from mlcli.compare.records import Comparison, Variant
from mlcli.compare.statistics import TIME_MARGIN
from mlcli.registry import METRICS
from mlcli.rendering.plots import (
    GREY,
    SeriesStyle,
    new_figure,
    plain_axes,
    plot_text,
    save_figures,
    series_styles,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlcli.compare.statistics.accuracy import AccuracyDifference
    from mlcli.compare.statistics.folds import FoldsDifference
    from mlcli.compare.statistics.times import TimeRatio

_SAME_CURVE = 0.005  # curves that differ by less than this fraction of the drawn range look like one


@dataclass(frozen=True)
class Plot:
    """A figure, and in one or more sentences what it shows, for readers who cannot see it."""

    figure: Figure
    description: str


def comparison_plots(comparison: Comparison) -> dict[str, Plot]:
    """Return the plots by file name, without those for which the runs have no data."""
    ran = comparison.ran
    backends = [variant.runs[0].facts.record.backend for variant in ran]
    styles = dict(zip([variant.label for variant in ran], series_styles(backends), strict=True))
    iterative = [variant for variant in ran if all(len(run.history) > 1 for run in variant.runs)]
    plots = {}
    if iterative:
        plots["learning_curves"] = _learning_curves(comparison, iterative, styles)
        plots["accuracy_against_time"] = _accuracy_against_time(comparison, iterative, styles)
    if any(pair.reference == comparison.reference for pair in comparison.pairs):
        plots["differences"] = _differences(comparison, styles)
    if len(ran) > 1 and len({run.test_digest for variant in ran for run in variant.runs}) == 1:
        plots["agreement"] = _agreement(comparison, styles)
    return plots


def save_comparison_plots(comparison: Comparison, directory: Path, plot_format: str) -> list[Path]:
    """Write every plot to a file in the directory, and return the files."""
    figures = {name: plot.figure for name, plot in comparison_plots(comparison).items()}
    return save_figures(figures, directory, plot_format)


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


def _learning_curves(comparison: Comparison, variants: Sequence[Variant], styles: Mapping[str, SeriesStyle]) -> Plot:
    figure = new_figure(10, 4)
    from matplotlib.ticker import MaxNLocator

    watched = _watched(variants)
    for axes, name, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), (" (nats per sample)", ""), strict=True):
        for variant in variants:
            values, style = _by_epoch(variant, f"{watched}_{name}"), styles[variant.label]
            epochs = np.arange(1, values.shape[1] + 1)
            axes.plot(
                epochs, values.mean(axis=0), style.line, color=style.color, linewidth=1.8, marker=style.marker,
                markersize=5, markevery=max(1, len(epochs) // 10), label=plot_text(variant.label)
            )  # fmt: skip
            axes.fill_between(
                epochs, values.min(axis=0), values.max(axis=0), color=style.color, alpha=0.18, linewidth=0
            )
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(f"{'training' if watched == 'train' else watched} {name}{unit}")
        plain_axes(axes)
    figure.axes[0].legend(frameon=False, fontsize=9)
    same = _same_curves(variants, watched)
    title = f"Learning curves of {comparison.title}: mean and range over {comparison.repeated_over}"
    set_title(figure, title, "; ".join([_data_of(watched), *same]))
    ends = [
        f"{variant.label} ends at {_by_epoch(variant, f'{watched}_accuracy')[:, -1].mean():.4f}" for variant in variants
    ]
    return Plot(figure, f"{title}, {_data_of(watched)}. Accuracy: {', '.join(ends)}. {' '.join(same)}".strip())


def _same_curves(variants: Sequence[Variant], watched: str) -> list[str]:
    """Return which curves of loss coincide, because only the topmost of them is visible."""
    curves = {variant.label: _by_epoch(variant, f"{watched}_loss").mean(axis=0) for variant in variants}
    span = max(np.ptp(curve) for curve in curves.values()) or 1.0
    groups: list[list[str]] = []
    for label, curve in curves.items():
        for group in groups:
            other = curves[group[0]]
            if other.shape == curve.shape and np.abs(other - curve).max() <= _SAME_CURVE * span:
                group.append(label)
                break
        else:
            groups.append([label])
    return [f"identical curves: {', '.join(group)}" for group in groups if len(group) > 1]


def _accuracy_against_time(
    comparison: Comparison, variants: Sequence[Variant], styles: Mapping[str, SeriesStyle]
) -> Plot:
    """Draw accuracy against seconds of training, logarithmic because engines may differ tenfold."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    watched = _watched(variants)
    ends = []
    for variant in variants:
        style = styles[variant.label]
        seconds = np.cumsum(_by_epoch(variant, "seconds"), axis=1)
        accuracies = _by_epoch(variant, f"{watched}_accuracy")
        axes.plot(seconds.T, accuracies.T, color=style.color, alpha=0.25, linewidth=1)
        mean_seconds, means = seconds.mean(axis=0), accuracies.mean(axis=0)
        every = max(1, len(means) // 10)
        axes.plot(
            mean_seconds, means, style.line, color=style.color, linewidth=2, marker=style.marker, markersize=5,
            markevery=every, label=plot_text(variant.label)
        )  # fmt: skip
        ends.append(f"{variant.label} reaches {means[-1]:.4f} after {mean_seconds[-1]:.3g} s")
    axes.set_xscale("log")
    axes.set_xlabel("seconds of training")
    axes.set_ylabel("training accuracy (running mean)" if watched == "train" else "validation accuracy")
    axes.legend(frameon=False, fontsize=9)
    plain_axes(axes)
    title = f"Accuracy against time, {comparison.title}: mean over {comparison.repeated_over}, and each of them"
    set_title(figure, title, _data_of(watched))
    return Plot(figure, f"{title}, {_data_of(watched)}. {', '.join(ends)}.")


def _differences(comparison: Comparison, styles: Mapping[str, SeriesStyle]) -> Plot:
    """Draw a row per variant: its differences from the reference, with intervals, verdicts and the margins of a tie."""
    from mlcli.compare.statistics.verdicts import margin_of  # with scipy, which reports without pictures do not need

    pairs = [pair for pair in comparison.pairs if pair.reference == comparison.reference]
    figure = new_figure(10, 2.2 + 0.45 * len(pairs))
    left, right = figure.subplots(1, 2, sharey=True)
    metric, unit = comparison.metric, unit_of(comparison.metric)
    margin = max((margin_of(pair.score) for pair in pairs if pair.score), default=0.0) / unit.size
    left.axvspan(-margin, margin, color=GREY, alpha=0.15, linewidth=0)
    right.axvspan(1 / (1 + TIME_MARGIN), 1 + TIME_MARGIN, color=GREY, alpha=0.15, linewidth=0)
    for axes, neutral in ((left, 0), (right, 1)):
        axes.axvline(neutral, color=GREY, linewidth=1)
    right.set_xscale("log")
    for row, pair in enumerate(reversed(pairs)):
        style = styles[pair.variant]
        _draw_interval(left, row, pair.score, score_verdict_text(pair, metric), style, unit=unit.size)
        _draw_interval(right, row, pair.time, time_verdict_text(pair), style)
    left.set_yticks(range(len(pairs)), [plot_text(pair.variant) for pair in reversed(pairs)])
    left.set_ylim(-0.6, len(pairs) - 0.3)
    reference = plot_text(comparison.reference or "")
    title = METRICS[metric].title
    left.set_xlabel(f"{title} relative to {reference}{f' ({unit.name.strip()})' if unit.name else ''}")
    right.set_xlabel(f"fit time relative to {reference} (ratio)")
    for axes in (left, right):
        axes.margins(x=0.1)
        plain_axes(axes)
    has_intervals = any(pair.score and pair.score.low is not None for pair in pairs)
    intervals = (
        "bars: 95 % confidence intervals"
        if has_intervals
        else f"fewer than three {comparison.repeated_over}: no intervals"
    )
    heading = f"Differences from {comparison.reference}, {comparison.title}"
    set_title(figure, heading, f"{intervals}; grey: the margin within which variants are a tie")
    found = [
        f"{pair.variant}: {title} {difference_text(pair, metric) or 'not compared'}{unit.name}, "
        f"{score_verdict_text(pair, metric)}; "
        f"fit time {ratio(pair) or 'not compared'}, {time_verdict_text(pair)}."
        for pair in pairs
    ]
    return Plot(figure, f"{heading}. {' '.join(found)}")


def _draw_interval(
    axes: Axes,
    row: int,
    found: AccuracyDifference | FoldsDifference | TimeRatio | None,
    verdict: str | None,
    style: SeriesStyle,
    unit: float = 1.0,
) -> None:
    if found:
        ends = [found.mean if end is None else end for end in (found.low, found.high)]
        axes.plot(np.divide(ends, unit), [row, row], color=style.color, linewidth=2)
        axes.plot([found.mean / unit], [row], style.marker, color=style.color, markersize=6)
        axes.annotate(
            verdict or "", (found.mean / unit, row), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    elif verdict:
        axes.annotate(verdict, (0.5, row), xycoords=("axes fraction", "data"), ha="center", va="center", fontsize=8)


def _agreement(comparison: Comparison, styles: Mapping[str, SeriesStyle]) -> Plot:
    """Draw how many test samples none, one or some of the variants get right, and how often every two disagree."""
    ran = comparison.ran
    figure = new_figure(10, 2.1 + 0.42 * (len(ran) + 3))
    from matplotlib.ticker import MaxNLocator

    bars, matrix = figure.subplots(1, 2)
    correct = np.array([np.mean([run.correct for run in variant.runs], axis=0) > 0.5 for variant in ran])
    n_right = correct.sum(axis=0)
    n_samples, n_all = correct.shape[1], int((n_right == len(ran)).sum())
    counts = {"none right": int((n_right == 0).sum())}
    for variant, is_right in zip(ran, correct, strict=True):
        counts[f"only {variant.label} right"] = int((is_right & (n_right == 1)).sum())
    counts["some right"] = int(((n_right > 1) & (n_right < len(ran))).sum())
    colors = [GREY, *(styles[variant.label].color for variant in ran), "#cccccc"]
    bars.barh(list(map(plot_text, counts)), list(counts.values()), color=colors)
    for row, count in enumerate(counts.values()):
        bars.text(count, row, f" {count:,}", va="center", fontsize=9)
    bars.margins(x=0.15)
    bars.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    bars.set_xlabel(f"test samples of {n_samples:,}; all are right on {n_all:,}")
    plain_axes(bars)
    _draw_disagreement(matrix, ran, correct)
    title = f"Agreement, {comparison.title}: test samples that a variant gets right with most seeds"
    set_title(figure, title)
    found = "; ".join(f"{name} on {count:,}" for name, count in counts.items())
    return Plot(figure, f"{title}. All right on {n_all:,} of {n_samples:,}; {found}.")


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
