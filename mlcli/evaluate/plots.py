"""The plots of an evaluation: misclassified samples, confusion matrix and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlcli.evaluate.evaluate import EvaluationResult
from mlcli.metrics.scores import Mistake, confident_mistakes
from mlcli.records import EpochRecord, Preprocessing, Split
from mlcli.rendering.plots import (
    GREY,
    MARKERS,
    PALETTE,
    RED,
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

_N_COLUMNS = 5


def save_evaluation_plots(
    result: EvaluationResult, history: Sequence[EpochRecord], n_mistakes: int, directory: Path, plot_format: str
) -> list[Path]:
    """Write mistakes, confusion matrix and, after at least two epochs, learning curves; return the files."""
    figures = {"mistakes": draw_mistakes(result, n_mistakes), "confusion_matrix": draw_confusion_matrix(result)}
    if len(history) > 1:
        figures["learning_curves"] = draw_learning_curves(history, result)
    return save_figures(figures, directory, plot_format)


def _subject(result: EvaluationResult) -> str:
    """Return what was trained, on which data and engine."""
    evaluation = result.evaluation
    return f"{evaluation.dataset}, {result.model}, {evaluation.trained_on}"


def _set_title(figure: Figure, result: EvaluationResult, text: str) -> None:
    evaluation = result.evaluation
    scored_by = "" if evaluation.backend == evaluation.trained_on else f", scored by {evaluation.backend}"
    samples = evaluation.samples_title.removeprefix("the ")
    set_title(figure, f"{text}: {_subject(result)}", f"{samples}{scored_by}", evaluation.run_id)


def draw_mistakes(result: EvaluationResult, n: int) -> Figure:
    """Draw the n most confident mistakes of image data; for tables, all samples with the mistakes marked."""
    return _draw_images(result, n) if result.preprocessing.kind == "image" else _draw_scatter(result)


def _draw_images(result: EvaluationResult, n: int) -> Figure:
    mistakes = confident_mistakes(result.scores, result.samples.y, n)
    n_rows = max(1, math.ceil(len(mistakes) / _N_COLUMNS))
    figure = new_figure(1.75 * _N_COLUMNS, 0.6 + 2.1 * n_rows)
    panels = figure.subplots(n_rows, _N_COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, mistake in zip(panels, mistakes, strict=False):
        _draw_image(axes, result.samples.x[mistake.index], mistake, result.preprocessing)
    _set_title(figure, result, result.evaluation.mistakes_title(len(mistakes)))
    return figure


def _draw_image(axes: Axes, x: NDArray[np.generic], mistake: Mistake, preprocessing: Preprocessing) -> None:
    names = [plot_text(name) for name in preprocessing.class_names]
    smallest, largest = preprocessing.value_range or (float(x.min()), float(x.max()))
    image = x[0] if len(x) == 1 else np.moveaxis(x, 0, -1)
    axes.imshow(image, cmap="gray_r", vmin=smallest, vmax=largest, interpolation="nearest")
    probability = "" if mistake.probability is None else f" ({mistake.probability:.2f})"
    caption = f"#{mistake.index}, true: {names[mistake.true]}\npredicted: {names[mistake.predicted]}{probability}"
    axes.set_title(caption, fontsize=8, loc="left")


def _draw_scatter(result: EvaluationResult) -> Figure:
    samples, labels, preprocessing = result.samples, result.scores.labels, result.preprocessing
    first, second = _most_separating_features(samples)
    figure = new_figure(7.5, 5.5)
    axes = figure.subplots()
    x, y = samples.x[:, first], samples.x[:, second]
    is_wrong = labels != samples.y
    for label, name in enumerate(preprocessing.class_names):
        draw = partial(axes.scatter, s=28, c=PALETTE[label % len(PALETTE)], marker=MARKERS[label % len(MARKERS)])
        is_class = samples.y == label
        draw(x[is_class], y[is_class], alpha=0.8, linewidth=0, label=plot_text(name))
        # Misclassified samples are drawn once more, above all others that they may coincide with.
        draw(x[is_class & is_wrong], y[is_class & is_wrong], linewidth=0, zorder=4)
    edges = [PALETTE[label % len(PALETTE)] for label in labels[is_wrong].tolist()]
    axes.scatter(x[is_wrong], y[is_wrong], s=130, facecolor="none", edgecolor=edges, linewidth=1.8, zorder=5)
    ring = "misclassified (ring: predicted class)"
    axes.scatter([], [], s=130, facecolor="none", edgecolor=GREY, linewidth=1.8, label=ring)
    axes.set_xlabel(plot_text(preprocessing.feature_names[first]))
    axes.set_ylabel(plot_text(preprocessing.feature_names[second]))
    plain_axes(axes)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=9, loc="best")
    _set_title(figure, result, f"{is_wrong.sum()} of {len(samples)} samples misclassified")
    return figure


def _most_separating_features(samples: Split) -> tuple[int, int]:
    """Return the two features with the largest ratio of variance between classes to variance within classes."""
    x = samples.x.astype(np.float64)
    labels = np.unique(samples.y)
    means = np.stack([x[samples.y == label].mean(axis=0) for label in labels])
    within = np.mean([x[samples.y == label].var(axis=0) for label in labels], axis=0)
    ratios = means.var(axis=0) / np.where(within == 0, 1.0, within)
    best = np.argsort(-ratios, kind="stable")
    return int(best[0]), int(best[min(1, len(best) - 1)])


def draw_confusion_matrix(result: EvaluationResult) -> Figure:
    """Draw the counts of every true and predicted class; the colour is the square root of the fraction of the row."""
    evaluation = result.evaluation
    names = [plot_text(scores.name) for scores in evaluation.classes]
    side = 2.2 + 0.62 * len(names)
    figure = new_figure(max(6.0, side + 0.8), max(5.0, side))
    axes = figure.subplots()
    counts = evaluation.confusion
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root makes rare mistakes visible next to a diagonal close to 1.
    axes.imshow(np.sqrt(fractions), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if fractions[row, column] > 0.4 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
    ticks = range(len(names))
    is_long = max(map(len, names)) > 3
    axes.set_xticks(ticks, names, rotation=45 if is_long else 0, ha="right" if is_long else "center", fontsize=9)
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    _set_title(figure, result, f"Confusion matrix, accuracy {evaluation.metrics.accuracy:.4f}")
    return figure


def draw_learning_curves(history: Sequence[EpochRecord], result: EvaluationResult) -> Figure:
    """Draw loss and accuracy by epoch, with the lowest validation loss and the epochs of overfitting marked.

    Both curves have the style of the engine that trained; that of validation is dashed, with hollow markers.
    """
    figure = new_figure(10, 4)
    (style,) = series_styles([result.evaluation.trained_on])
    finding = overfitting(history)
    loss, accuracy = figure.subplots(1, 2)
    _draw_curves(loss, history, "loss", "loss (nats per sample)", style)
    _draw_curves(accuracy, history, "accuracy", "accuracy", style)
    if finding is not None:
        for axes in (loss, accuracy):
            _mark_overfitting(axes, finding, last_epoch=history[-1].epoch)
    loss.legend(framealpha=0.9, edgecolor="none", fontsize=9)
    subtitle = _overfitting_text(finding)
    set_title(figure, f"Learning curves: {_subject(result)}", subtitle, result.evaluation.run_id)
    return figure


def _draw_curves(axes: Axes, history: Sequence[EpochRecord], name: str, label: str, style: SeriesStyle) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history]
    marker = style.marker if len(epochs) <= 30 else None
    labels = {"train": "training (running mean during the epoch)", "validation": "validation"}
    for split, line, fill in (("train", "-", style.color), ("validation", "--", "white")):
        values = np.array([getattr(record, f"{split}_{name}") for record in history], dtype=np.float64)  # None is NaN
        if not np.isnan(values).all():
            axes.plot(
                epochs, values, line, color=style.color, marker=marker, markersize=5, markerfacecolor=fill,
                linewidth=1.8, label=labels[split]
            )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_axes(axes)


def _mark_overfitting(axes: Axes, finding: Overfitting, last_epoch: int) -> None:
    best = finding.best_epoch
    axes.axvline(best, color=GREY, linestyle="--", linewidth=1.2, label=f"lowest validation loss: epoch {best}")
    if finding.first_epoch is not None:
        label = f"overfitting from epoch {finding.first_epoch}"
        axes.axvspan(best, last_epoch, color=RED, alpha=0.08, linewidth=0, label=label)


def _overfitting_text(finding: Overfitting | None) -> str:
    if finding is None:
        return "no validation data, overfitting not assessed"
    lowest = f"lowest validation loss: epoch {finding.best_epoch}"
    if finding.first_epoch is None:
        grew = f"; its gap to the running training loss grew by {finding.gap_growth:.0%} of it"
        return lowest + (grew if finding.gap_growth > NOISE else "")
    return f"{lowest}; overfitting from epoch {finding.first_epoch} (validation loss ends {finding.rise:.0%} higher)"


# A smaller rise of the validation loss, as a fraction of its minimum, counts as noise.
NOISE = 0.05


@dataclass(frozen=True)
class Overfitting:
    """The finding of `overfitting`."""

    best_epoch: int  # of the lowest validation loss
    first_epoch: int | None  # the first epoch of overfitting; None if there is none
    rise: float  # of the last validation loss above the lowest, as a fraction of the lowest
    gap_growth: (
        float  # of validation minus running training loss, from its smallest to its last, as a fraction likewise
    )


def overfitting(history: Sequence[EpochRecord]) -> Overfitting | None:
    """Return where overfitting begins; None for a history without validation losses.

    A run overfits if its validation loss ends more than 5 % above the minimum although the training loss kept falling.
    The rise is the generalization loss of Prechelt, "Early Stopping - But When?" (1998), as a fraction, and 5 % the
    threshold of his criterion GL_5. A gap between the two losses that grows is stated too: it is no overfitting yet as
    long as the validation loss falls. Running training losses are above those after the epoch, so the gap is larger.
    """
    losses = [(record.validation_loss, record) for record in history if record.validation_loss is not None]
    if not losses:
        return None
    lowest_loss, best = min(losses, key=lambda pair: pair[0])
    last_loss, last = losses[-1]
    rise = last_loss / lowest_loss - 1 if lowest_loss > 0 else 0.0
    keeps_falling = best.train_loss is not None and last.train_loss is not None and last.train_loss < best.train_loss
    gaps = [value - record.train_loss for value, record in losses if record.train_loss is not None]
    growth = (gaps[-1] - min(gaps)) / lowest_loss if gaps and lowest_loss > 0 else 0.0
    return Overfitting(best.epoch, best.epoch + 1 if rise > NOISE and keeps_falling else None, rise, growth)
