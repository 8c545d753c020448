"""The plots of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from mlcli.evaluate.plots import draw_learning_curves, draw_mistakes, save_evaluation_plots
from mlcli.records import EpochRecord
from mlcli.rendering.plots import series_styles


def test_plots_of_an_image_run(digits_run, digits, tmp_path):
    paths = save_evaluation_plots(digits, digits_run.files.history(), 7, tmp_path / "new" / "folder", "png")
    assert [path.name for path in paths] == ["mistakes.png", "confusion_matrix.png", "learning_curves.png"]
    for path in paths:
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5  # something was drawn
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in paths)


def test_a_single_fit_has_no_learning_curves(iris_run, iris, tmp_path):
    paths = save_evaluation_plots(iris, iris_run.files.history(), 7, tmp_path, "png")
    assert [path.name for path in paths] == ["mistakes.png", "confusion_matrix.png"]


def test_the_scatter_plot_shows_every_sample_and_marks_every_mistake(iris):
    figure = draw_mistakes(iris, 5)
    *points, rings, _legend = figure.axes[0].collections
    assert sum(len(drawn.get_offsets()) for drawn in points[::2]) == len(iris.samples)
    assert len(rings.get_offsets()) == iris.evaluation.n_mistakes
    on_top = points[1::2]
    assert sum(len(drawn.get_offsets()) for drawn in on_top) == iris.evaluation.n_mistakes
    assert min(drawn.get_zorder() for drawn in on_top) > max(drawn.get_zorder() for drawn in points[::2])
    assert {figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()} == {"petal length (cm)", "petal width (cm)"}
    assert f"{iris.evaluation.n_mistakes} of {len(iris.samples)} samples misclassified" in figure.get_suptitle()
    assert "iris, logistic, sklearn" in figure.get_suptitle()
    assert iris.evaluation.run_id in figure.get_supxlabel()


def test_the_grid_shows_the_mistakes_and_no_more(digits):
    figure = draw_mistakes(digits, 3)
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 3
    first = digits.evaluation.mistakes[0]
    assert np.array_equal(drawn[0].images[0].get_array(), digits.samples.x[first.index, 0])
    assert f"#{first.index}" in drawn[0].get_title(loc="left")
    assert f"Top 3 of {digits.evaluation.n_mistakes} misclassified, by confidence" in figure.get_suptitle()


def test_without_mistakes_the_grid_is_empty(digits):
    perfect = replace(digits.scores, labels=digits.samples.y)
    evaluation = replace(digits.evaluation, n_mistakes=0)
    figure = draw_mistakes(replace(digits, scores=perfect, evaluation=evaluation), 3)
    assert not any(axes.images for axes in figure.axes)
    assert "No misclassified samples" in figure.get_suptitle()


def test_learning_curves_mark_the_lowest_validation_loss_and_overfitting_in_the_style_of_the_engine(digits):
    losses = [(1.0, 1.0), (0.5, 0.6), (0.3, 0.8)]
    history = [
        EpochRecord(epoch, 0.1, train, 0.5, validation, 0.5, 1.0, 1.0, False)
        for epoch, (train, validation) in enumerate(losses, start=1)
    ]
    figure = draw_learning_curves(history, digits)
    training, validation, *_ = figure.axes[0].lines
    assert training.get_color() == validation.get_color() == series_styles(["torch"])[0].color
    assert training.get_linestyle() != validation.get_linestyle()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "lowest validation loss: epoch 2" in labels
    assert "overfitting from epoch 3" in labels
    assert "lowest validation loss: epoch 2; overfitting from epoch 3" in figure.get_suptitle()
