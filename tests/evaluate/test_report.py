"""An evaluation as table, JSON, CSV and Markdown, and as pictures."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from mlcli.errors import UsageError
from mlcli.evaluate.evaluate import EvaluationRequest, evaluate
from mlcli.evaluate.plots import save_evaluation_plots
from mlcli.evaluate.report import print_evaluation
from mlcli.rendering import plots as drawing


@pytest.fixture
def digits(digits_run):
    return evaluate(digits_run, EvaluationRequest(n_misclassified=3, threads=1))


@pytest.fixture
def iris(iris_run):
    return evaluate(iris_run, EvaluationRequest(n_misclassified=3, threads=1))


def printed(capsys, evaluation, output_format):
    print_evaluation(evaluation, output_format)
    return capsys.readouterr().out


def test_json_is_one_document_with_everything(digits, capsys):
    document = json.loads(printed(capsys, digits.evaluation, "json"))
    assert document["schema_version"] == 1
    assert document["metrics"]["accuracy"] == digits.evaluation.metrics.accuracy
    assert np.array_equal(document["confusion"], digits.evaluation.confusion)
    assert [row["name"] for row in document["classes"]] == list("0123456789")
    assert document["calibration"]["error"] == digits.evaluation.calibration.error
    assert len(document["calibration"]["bins"]) == 15
    assert len(document["mistakes"]) == 3
    assert document["time"]["median_seconds"] == np.median(document["time"]["warm_seconds"])


def test_csv_is_one_row(digits, capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, digits.evaluation, "csv"))))
    assert len(rows) == 1
    assert float(rows[0]["accuracy"]) == digits.evaluation.metrics.accuracy
    assert int(rows[0]["n_mistakes"]) == digits.evaluation.n_mistakes


@pytest.mark.parametrize("output_format", ["table", "markdown"])
def test_people_see_scores_classes_confusion_and_mistakes(iris, capsys, output_format):
    text = printed(capsys, iris.evaluation, output_format)
    evaluation = iris.evaluation
    for words in (
        f"{evaluation.metrics.accuracy:.4f}", "the same", "calibration error (15 bins)", "macro average", "versicolor",
        "warm call, median of 5", f"{evaluation.classes[1].precision:.4f}",
    ):  # fmt: skip
        assert words in text
    assert text.count("virginica") > 2  # its row by class, its row of the matrix, and the mistakes


@pytest.mark.parametrize("width", [50, 80])
def test_tables_fit_a_narrow_terminal(digits, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys, digits.evaluation, "table")
    assert max(map(len, text.splitlines())) <= width


def plots(run, result, directory):
    return save_evaluation_plots(
        result.evaluation, result.samples, result.scores, run.preprocessing, run.files.history(), 7, directory
    )


def test_pictures_of_an_image_run(digits_run, digits, tmp_path):
    paths = plots(digits_run, digits, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["mistakes.png", "confusion_matrix.png", "learning_curves.png"]
    for path in paths:
        with Image.open(path) as image:
            assert np.asarray(image.convert("L")).std() > 5  # something was drawn
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(path.name for path in paths)


def test_a_fit_in_one_call_has_no_learning_curves(iris_run, iris, tmp_path):
    assert [path.name for path in plots(iris_run, iris, tmp_path)] == ["mistakes.png", "confusion_matrix.png"]


def test_the_scatter_shows_every_sample_and_rings_every_mistake(iris_run, iris):
    from mlcli.evaluate.mistake_plots import draw_mistakes

    figure = draw_mistakes(iris.samples, iris.scores, iris_run.preprocessing, 5, "title")
    *classes, rings, _legend = figure.axes[0].collections
    assert sum(len(points.get_offsets()) for points in classes) == len(iris.samples)
    assert len(rings.get_offsets()) == iris.evaluation.n_mistakes
    assert {figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()} == {"petal length (cm)", "petal width (cm)"}


def test_the_grid_shows_the_mistakes_and_no_more(digits_run, digits):
    from mlcli.evaluate.mistake_plots import draw_mistakes

    figure = draw_mistakes(digits.samples, digits.scores, digits_run.preprocessing, 3, "title")
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 3
    first = digits.evaluation.mistakes[0]
    assert np.array_equal(drawn[0].images[0].get_array(), digits.samples.x[first.index, 0])
    assert f"#{first.index}" in drawn[0].get_title(loc="left")


def test_curves_mark_the_least_validation_loss_and_the_overfitting():
    from mlcli.evaluate.learning_curves import draw_learning_curves
    from mlcli.records import EpochRecord

    losses = [(1.0, 1.0), (0.5, 0.6), (0.3, 0.8)]
    history = [
        EpochRecord(epoch, 0.1, train, 0.5, validation, 0.5, 1.0, 1.0, False)
        for epoch, (train, validation) in enumerate(losses, start=1)
    ]
    figure = draw_learning_curves(history, "run")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "least validation loss, epoch 2" in labels
    assert "overfitting, from epoch 3" in labels
    assert "overfitting begins in epoch 3" in figure.get_suptitle()


def test_without_matplotlib_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(drawing, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlcli\[plots\]'"):
        drawing.require_matplotlib()
