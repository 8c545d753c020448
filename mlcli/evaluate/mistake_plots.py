"""Pictures of mistakes: a grid of images, or two features of a table with the mistakes marked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlcli.metrics.mistakes import Mistake, confident_mistakes
from mlcli.records import Preprocessing, Scores, Split
from mlcli.rendering.plots import GREY, PALETTE, new_figure, plain_axes, plot_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_N_COLUMNS = 5
_RING = "mistake: ring in the colour of the predicted class"


def draw_mistakes(samples: Split, scores: Scores, preprocessing: Preprocessing, n: int, title: str) -> Figure:
    """The n most confident mistakes; for tables all mistakes among all samples."""
    if preprocessing.kind == "image":
        return _draw_images(samples, confident_mistakes(scores, samples.y, n), preprocessing, title)
    return _draw_scatter(samples, scores, preprocessing, title)


def _draw_images(samples: Split, mistakes: tuple[Mistake, ...], preprocessing: Preprocessing, title: str) -> Figure:
    n_rows = max(1, math.ceil(len(mistakes) / _N_COLUMNS))
    figure = new_figure(1.75 * _N_COLUMNS, 0.6 + 2.1 * n_rows)
    panels = figure.subplots(n_rows, _N_COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, mistake in zip(panels, mistakes, strict=False):
        _draw_image(axes, samples.x[mistake.index], mistake, preprocessing)
    shown = f"the {len(mistakes)} most confident mistakes" if mistakes else "no mistakes"
    figure.suptitle(f"{title}: {shown}", fontsize=11, x=0.01, ha="left")
    return figure


def _draw_image(axes: Axes, x: NDArray[np.generic], mistake: Mistake, preprocessing: Preprocessing) -> None:
    names = [plot_text(name) for name in preprocessing.class_names]
    smallest, largest = preprocessing.value_range or (float(x.min()), float(x.max()))
    image = x[0] if len(x) == 1 else np.moveaxis(x, 0, -1)
    axes.imshow(image, cmap="gray_r", vmin=smallest, vmax=largest, interpolation="nearest")
    probability = "" if mistake.probability is None else f" ({mistake.probability:.2f})"
    axes.set_title(
        f"#{mistake.index}  {names[mistake.true]}\nas {names[mistake.predicted]}{probability}", fontsize=8, loc="left"
    )


def _draw_scatter(samples: Split, scores: Scores, preprocessing: Preprocessing, title: str) -> Figure:
    first, second = _most_telling_features(samples)
    figure = new_figure(7.5, 5.5)
    axes = figure.subplots()
    x = samples.x[:, [first, second]]
    for label, name in enumerate(preprocessing.class_names):
        of_class = x[samples.y == label]
        axes.scatter(
            of_class[:, 0], of_class[:, 1], s=28, color=_color(label), alpha=0.8, linewidth=0, label=plot_text(name)
        )
    is_wrong = scores.labels != samples.y
    edges = [_color(label) for label in scores.labels[is_wrong].tolist()]
    axes.scatter(x[is_wrong, 0], x[is_wrong, 1], s=130, facecolor="none", edgecolor=edges, linewidth=1.8)
    axes.scatter([], [], s=130, facecolor="none", edgecolor=GREY, linewidth=1.8, label=_RING)
    axes.set_xlabel(_feature_name(preprocessing, first))
    axes.set_ylabel(_feature_name(preprocessing, second))
    plain_axes(axes)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=9, loc="best")
    figure.suptitle(f"{title}: {is_wrong.sum()} mistakes in {len(samples)} samples", fontsize=11, x=0.01, ha="left")
    return figure


def _most_telling_features(samples: Split) -> tuple[int, int]:
    """The two features that differ most between classes: the largest ratios of variance between to within classes."""
    x = samples.x.astype(np.float64)
    labels = np.unique(samples.y)
    means = np.stack([x[samples.y == label].mean(axis=0) for label in labels])
    within = np.mean([x[samples.y == label].var(axis=0) for label in labels], axis=0)
    ratios = means.var(axis=0) / np.where(within == 0, 1.0, within)
    best = np.argsort(-ratios, kind="stable")
    return int(best[0]), int(best[min(1, len(best) - 1)])


def _color(label: int) -> str:
    return PALETTE[label % len(PALETTE)]


def _feature_name(preprocessing: Preprocessing, index: int) -> str:
    names = preprocessing.feature_names
    return plot_text(names[index]) if names else f"feature {index}"
