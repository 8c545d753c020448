"""The pictures of an evaluation, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.evaluate.learning_curves import draw_learning_curves
from mlcli.evaluate.mistake_plots import draw_mistakes
from mlcli.evaluate.records import Evaluation
from mlcli.records import EpochRecord, Preprocessing, Scores, Split
from mlcli.rendering.plots import new_figure, plot_text, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def save_evaluation_plots(
    evaluation: Evaluation,
    samples: Split,
    scores: Scores,
    preprocessing: Preprocessing,
    history: Sequence[EpochRecord],
    n_mistakes: int,
    directory: Path,
) -> list[Path]:
    """Draw mistakes, confusion matrix and, where there were at least two epochs, learning curves; returns the files."""
    run = plot_text(evaluation.run_id)
    title = f"{run}, {evaluation.split} split of {evaluation.dataset}"
    mistakes = draw_mistakes(samples, scores, preprocessing, n_mistakes, title)
    paths = [
        save_figure(mistakes, directory / "mistakes.png"),
        save_figure(_draw_confusion(evaluation, title), directory / "confusion_matrix.png"),
    ]
    if len(history) > 1:
        curves = draw_learning_curves(history, run)
        paths.append(save_figure(curves, directory / "learning_curves.png"))
    return paths


def _draw_confusion(evaluation: Evaluation, title: str) -> Figure:
    names = [plot_text(scores.name) for scores in evaluation.classes]
    side = 2.2 + 0.62 * len(names)
    figure = new_figure(max(6.0, side + 0.8), max(5.0, side))
    axes = figure.subplots()
    counts = evaluation.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root lets rare mistakes show beside a diagonal close to 1.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    _write_counts(axes, counts, shares)
    ticks = range(len(names))
    is_long = max(map(len, names)) > 3
    axes.set_xticks(ticks, names, rotation=45 if is_long else 0, ha="right" if is_long else "center", fontsize=9)
    axes.set_yticks(ticks, names, fontsize=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.suptitle(f"{title}\naccuracy {evaluation.metrics.accuracy:.4f}", fontsize=10, x=0.01, ha="left")
    return figure


def _write_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)
