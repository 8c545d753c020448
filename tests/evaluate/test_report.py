"""An evaluation as table, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from mlcli.evaluate.report import print_evaluation


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
    assert document["mistakes"][0]["features"] is None
    assert document["time"]["median_seconds"] == np.median(document["time"]["warm_seconds"])


def test_csv_is_one_row(digits, capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, digits.evaluation, "csv"))))
    assert len(rows) == 1
    assert float(rows[0]["accuracy"]) == digits.evaluation.metrics.accuracy
    assert int(rows[0]["n_mistakes"]) == digits.evaluation.n_mistakes


@pytest.mark.parametrize("output_format", ["table", "markdown"])
def test_tables_show_scores_classes_confusion_matrix_and_mistakes(iris, capsys, output_format):
    text = printed(capsys, iris.evaluation, output_format)
    evaluation = iris.evaluation
    for words in (
        f"{evaluation.metrics.accuracy:.4f}",
        "identical",
        "calibration error (15 bins)",
        "macro average",
        "versicolor",
        "later predictions, median of 5",
        f"{evaluation.classes[1].precision:.4f}",
    ):
        assert words in text
    assert "petal" in text
    assert f"{evaluation.mistakes[0].features['petal length (cm)']:g}" in text
    assert text.count("virginica") > 2  # its row by class, its row of the matrix, and the mistakes


@pytest.mark.parametrize("width", [50, 80])
def test_tables_fit_a_narrow_terminal(digits, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(capsys, digits.evaluation, "table")
    assert max(map(len, text.splitlines())) <= width


def test_all_metrics_are_shown_also_by_class(iris, capsys):
    text = printed(capsys, iris.evaluation, "table")
    for title in ("balanced accuracy", "macro F1", "ROC AUC", "PR AUC", "Brier score", "always the largest class"):
        assert title in text
    document = json.loads(printed(capsys, iris.evaluation, "json"))
    assert document["metrics"]["roc_auc"] == document["macro"]["roc_auc"]
    areas = [row["roc_auc"] for row in document["classes"]]
    assert np.mean(areas) == pytest.approx(document["metrics"]["roc_auc"])
    assert document["metrics"]["undefined"] == {}
