"""Print the evaluation of a run: scores, time, classes, confusion matrix and mistakes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from mlcli.evaluate.evaluate import EVALUATION_SCHEMA_VERSION, Evaluation
from mlcli.metrics.by_class import ClassScores
from mlcli.registry import METRICS
from mlcli.rendering import OutputFormat
from mlcli.rendering.console import escape, result_console
from mlcli.rendering.tables import Fields, Row, print_markdown, print_summary, print_table
from mlcli.runs.report import ALWAYS_LARGEST, metric_text


def print_evaluation(evaluation: Evaluation, output_format: str) -> None:
    """Print to stdout; CSV is one row of scores and times, without classes, confusion matrix and mistakes."""
    row, document = _flat_row(evaluation), _document(evaluation)
    print_summary(_title(evaluation), _sections(evaluation), row, document, output_format)
    if output_format == OutputFormat.TABLE:
        _print_tables(evaluation)
    elif output_format == OutputFormat.MARKDOWN:
        _print_markdown(evaluation)


def _document(evaluation: Evaluation) -> dict[str, Any]:
    document = asdict(evaluation)
    document["confusion"] = evaluation.confusion.tolist()
    document["time"]["median_seconds"] = evaluation.time.median_seconds
    return {"schema_version": EVALUATION_SCHEMA_VERSION, **document}


def _flat_row(evaluation: Evaluation) -> Row:
    metrics, time = evaluation.metrics, evaluation.time
    return {
        "run_id": evaluation.run_id,
        "backend": evaluation.backend,
        "trained_on": evaluation.trained_on,
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "n_samples": metrics.n_samples,
        "accuracy": metrics.accuracy,
        "loss": metrics.loss,
        **evaluation.scores,
        "calibration_error": evaluation.calibration.error if evaluation.calibration else None,
        "n_mistakes": evaluation.n_mistakes,
        "batch_size": time.batch_size,
        "first_seconds": time.first_seconds,
        "median_seconds": time.median_seconds,
        "device": evaluation.device,
        "threads": evaluation.threads,
    }


def _print_tables(evaluation: Evaluation) -> None:
    print_table("Scores by class", _class_rows(evaluation), optional=["Brier", "PR AUC", "ROC AUC"])
    _print_confusion(evaluation)
    if evaluation.mistakes:
        print_table(evaluation.mistakes_title(len(evaluation.mistakes)), _mistake_rows(evaluation))


def _print_markdown(evaluation: Evaluation) -> None:
    for rows in (_class_rows(evaluation), _confusion_rows(evaluation), _mistake_rows(evaluation)):
        if rows:
            sys.stdout.write("\n")
            print_markdown(rows)


def _title(evaluation: Evaluation) -> str:
    trained = "" if evaluation.backend == evaluation.trained_on else f", trained with {evaluation.trained_on}"
    return f"Evaluation on {evaluation.samples_title} of {evaluation.dataset} with {evaluation.backend}{trained}"


def _sections(evaluation: Evaluation) -> list[Fields]:
    time = evaluation.time
    return [
        _score_fields(evaluation),
        [
            ("first prediction", f"{time.first_seconds:.4f} s"),
            (f"later predictions, median of {len(time.warm_seconds)}", f"{time.median_seconds:.4f} s"),
            ("samples/s", f"{evaluation.metrics.n_samples / time.median_seconds:,.0f}"),
            ("batch size", f"{time.batch_size:,}"),
        ],
        [("device", evaluation.device), ("threads", str(evaluation.threads)), ("run", evaluation.run_id)],
    ]


def _score_fields(evaluation: Evaluation) -> Fields:
    metrics, reported = evaluation.metrics, evaluation.reported
    n_correct = metrics.n_samples - evaluation.n_mistakes
    fields = [("accuracy", f"{metrics.accuracy:.4f}  ({n_correct:,}/{metrics.n_samples:,})")]
    if reported is not None:
        same = "identical" if reported.accuracy == metrics.accuracy else f"{reported.accuracy:.4f}"
        fields.append(("accuracy reported by the run", same))
    others = [name for name in METRICS if name != "accuracy"]
    fields += [(METRICS[name].title, metric_text(metrics, name)) for name in others]
    fields.append((ALWAYS_LARGEST, f"{metrics.largest_class_accuracy:.4f}"))
    if evaluation.calibration is not None:
        n_bins = len(evaluation.calibration.bins)
        fields.append((f"calibration error ({n_bins} bins)", f"{evaluation.calibration.error:.4f}"))
    return fields


def _class_rows(evaluation: Evaluation) -> list[Row]:
    has_probabilities = evaluation.macro.brier_score is not None
    return [
        {
            "class": scores.name,
            "precision": _rounded(scores.precision),
            "recall": _rounded(scores.recall),
            "F1": _rounded(scores.f1),
            **(_probability_cells(scores) if has_probabilities else {}),
            "samples": scores.n_samples,
        }
        for scores in (*evaluation.classes, evaluation.macro)
    ]


def _probability_cells(scores: ClassScores) -> Row:
    values = {"ROC AUC": scores.roc_auc, "PR AUC": scores.pr_auc, "Brier": scores.brier_score}
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _print_confusion(evaluation: Evaluation) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    names = [scores.name for scores in evaluation.classes]
    table.add_column("", overflow="fold")
    for index, name in enumerate(names):  # indices keep the matrix narrow
        table.add_column(escape(name) if len(name) == 1 else str(index), justify="right", no_wrap=True)
    for index, (name, row) in enumerate(zip(names, evaluation.confusion.tolist(), strict=True)):
        cells = [f"{count:,}" if count else "[dim]·[/dim]" for count in row]
        cells[index] = f"[bold]{row[index]:,}[/bold]"
        table.add_row(escape(name if len(name) == 1 else f"{index} {name}"), *cells)
    result_console().print("[bold]Confusion matrix (rows: true class)[/bold]", table, sep="\n")


def _confusion_rows(evaluation: Evaluation) -> list[Row]:
    names = [scores.name for scores in evaluation.classes]
    return [
        {"true \\ predicted": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, evaluation.confusion.tolist(), strict=True)
    ]


def _mistake_rows(evaluation: Evaluation) -> list[Row]:
    names = [scores.name for scores in evaluation.classes]
    rows: list[Row] = []
    for mistake in evaluation.mistakes:
        row: dict[str, object] = {"index": str(mistake.index), "true": names[mistake.true]}
        row["predicted"] = names[mistake.predicted]
        if mistake.probability is not None:
            row["probability"] = f"{mistake.probability:.4f}"
        row |= mistake.features or {}
        rows.append(row)
    return rows
