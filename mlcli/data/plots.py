"""Pictures of a dataset: a grid of images, or every feature of a table against every other."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.records import Dataset
from mlcli.rendering.plots import MARKERS, PALETTE, new_figure, plain_axes, plot_text, save_figures, set_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_N_PER_CLASS = 10
_MAX_FEATURES = 6


def save_samples(dataset: Dataset, directory: Path, plot_format: str) -> Path:
    """Write a picture of the training split to the directory and return its path; MlcliError if that fails."""
    (path,) = save_figures({f"{dataset.info.name}_samples": draw_samples(dataset)}, directory, plot_format)
    return path


def draw_samples(dataset: Dataset) -> Figure:
    """Draw the first training samples: a row of images per class, or a scatter plot per pair of features."""
    figure = _draw_images(dataset) if dataset.info.kind == "image" else _draw_pairs(dataset)
    set_title(figure, f"Training samples of {dataset.info.title}")
    return figure


def _draw_images(dataset: Dataset) -> Figure:
    names, train = dataset.info.class_names, dataset.train
    figure = new_figure(0.85 * _N_PER_CLASS + 1.2, 0.85 * len(names) + 0.4)
    panels = figure.subplots(len(names), _N_PER_CLASS, squeeze=False)
    smallest, largest = float(train.x.min()), float(train.x.max())
    for label, row in enumerate(panels):
        samples = np.flatnonzero(train.y == label)[:_N_PER_CLASS]
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        for axes, index in zip(row, samples, strict=False):
            image = train.x[index]
            pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
            axes.imshow(pixels, cmap="gray_r", vmin=smallest, vmax=largest, interpolation="nearest")
        row[0].set_ylabel(plot_text(names[label]), rotation=0, ha="right", va="center", fontsize=9)
    return figure


def _draw_pairs(dataset: Dataset) -> Figure:
    names, train = dataset.info.feature_names[:_MAX_FEATURES], dataset.train
    n = len(names)
    figure = new_figure(2.1 * n + 1.2, 2.0 * n)
    panels = figure.subplots(n, n, squeeze=False, sharex="col")
    for (row, column), axes in np.ndenumerate(panels):
        for label, class_name in enumerate(dataset.info.class_names):
            x, color, marker = train.x[train.y == label], PALETTE[label % len(PALETTE)], MARKERS[label % len(MARKERS)]
            if row == column:
                axes.hist(x[:, row], bins=12, color=color, alpha=0.6)
            else:
                draw = partial(axes.scatter, s=11, color=color, marker=marker, linewidth=0)
                draw(x[:, column], x[:, row], label=plot_text(class_name))
        plain_axes(axes)
        axes.tick_params(labelsize=7)
        if row == n - 1:
            axes.set_xlabel(plot_text(names[column]), fontsize=8)
        if column == 0:
            axes.set_ylabel(plot_text(names[row]), fontsize=8)
    handles, labels = panels[-1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return figure
