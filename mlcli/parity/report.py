"""The report of a parity check: a verdict for each pair of engines, and a selection of steps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, fields

from mlcli.parity.explanation import Explanation
from mlcli.parity.parity import ParityPair, ParityReport, ParityStep
from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.console import result_console
from mlcli.rendering.tables import Fields, Row, print_csv, print_fields, print_markdown, print_table

_SCHEMA_VERSION = 1
_N_NUMBERS = 4  # shown of a vector


def print_parity(report: ParityReport, output_format: str) -> None:
    """Print a report to stdout. JSON and CSV contain every step, table and Markdown a selection."""
    steps = _step_rows(report.pairs)
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            pairs = [_pair_values(pair) | {"steps": list(map(asdict, pair.steps))} for pair in report.pairs]
            document = {"schema_version": _SCHEMA_VERSION, "precision": "float64", **vars(report), "pairs": pairs}
            document["explanation"] = asdict(report.explanation) if report.explanation else None
            print_json(document)
        case OutputFormat.CSV:
            print_csv([row for pair in report.pairs for row in _csv_rows(pair)])
        case OutputFormat.MARKDOWN:
            print_markdown(_pair_rows(report, with_reasons=any(pair.reason for pair in report.pairs)))
            if steps:
                sys.stdout.write("\n")
                print_markdown(steps)
            if report.explanation:
                sys.stdout.write("\n")
                print_markdown(
                    [{"logits = x W^T + b": label, "": value} for label, value in _fields(report.explanation)]
                )
                sys.stdout.write("\n")
                print_markdown(_logit_rows(report.explanation))
        case OutputFormat.TABLE:
            print_table(_title(report), _pair_rows(report, with_reasons=False))
            if steps:
                print_table(f"selected steps; differences from {_reference(report.pairs)}", steps)
            _print_reasons(report.pairs)
            if report.explanation:
                print_fields("logits = x W^T + b", [_fields(report.explanation)])
                print_table("logits of each class", _logit_rows(report.explanation))


def _fields(explanation: Explanation) -> Fields:
    """Return the layer, its input and its weights in the orientation of every engine."""
    shapes = [
        (f"W in {engine.engine}", f"{engine.weight_name} {_sizes(engine.weight_shape)}")
        for engine in explanation.engines
    ]
    sample = f"{explanation.sample} of the test split, {explanation.true_class}"
    weight = f"{explanation.weight_name} {_sizes((len(explanation.weight), len(explanation.x)))}"
    difference = f"{explanation.largest_difference:.2g}, tolerance {explanation.tolerance:.2g}"
    return [
        ("last layer", explanation.layer),
        ("sample", sample),
        ("x, input of the layer", f"{_numbers(explanation.x)}  ({len(explanation.x)} numbers)"),
        ("W, canonical", weight),
        *shapes,
        ("largest difference from numpy", difference),
    ]


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _numbers(values: Sequence[float]) -> str:
    """Return the first numbers as text."""
    return ", ".join(f"{value:.4f}" for value in values[:_N_NUMBERS]) + (", ..." if len(values) > _N_NUMBERS else "")


def _logit_rows(explanation: Explanation) -> list[Row]:
    return [
        {
            "class": name,
            "row_of_W": _numbers(explanation.weight[index]),
            "b": f"{explanation.bias[index]:.4f}",
            "numpy": f"{explanation.logits[index]:.6f}",
            **{engine.engine: f"{engine.logits[index]:.6f}" for engine in explanation.engines},
        }
        for index, name in enumerate(explanation.class_names)
    ]


def _title(report: ParityReport) -> str:
    title = f"{report.experiment} in float64, {report.n_steps:,} steps" if report.experiment else "nothing to compare"
    return f"{title} of {report.batch_size:,} samples" if report.batch_size else title


def _print_reasons(pairs: Sequence[ParityPair]) -> None:
    for reason in dict.fromkeys(pair.reason for pair in pairs if pair.reason):
        names = [" and ".join(pair.engines) for pair in pairs if pair.reason == reason]
        result_console().print(f"not compared, {', '.join(names)}: {reason}", markup=False)


def _pair_rows(report: ParityReport, *, with_reasons: bool) -> list[Row]:
    hidden = ("first", "second") if with_reasons else ("first", "second", "reason")
    return [
        {"engines": " and ".join(pair.engines)}
        | {key: value for key, value in _pair_values(pair).items() if key not in hidden}
        for pair in report.pairs
    ]


def _pair_values(pair: ParityPair) -> dict[str, object]:
    return {
        "first": pair.engines[0],
        "second": pair.engines[1],
        "verdict": pair.verdict,
        "largest_loss_difference": max((step.loss_difference for step in pair.steps), default=None),
        "largest_weight_difference": max((step.weight_difference for step in pair.steps), default=None),
        "tolerance": pair.tolerance,
        "first_step_beyond": pair.first_beyond.step if pair.first_beyond else None,
        "reason": pair.reason,
    }


def _csv_rows(pair: ParityPair) -> list[Row]:
    """Return one row per step, and a single one, without numbers, for a pair that was not compared."""
    first, second = pair.engines
    steps = [asdict(step) | {"is_within": step.loss_difference <= pair.tolerance} for step in pair.steps]
    empty = dict.fromkeys([*(field.name for field in fields(ParityStep)), "is_within"])
    return [{"first": first, "second": second, **step, "reason": pair.reason} for step in steps or [empty]]


def _step_rows(pairs: Sequence[ParityPair]) -> list[Row]:
    """Return, for a selection of steps, the loss of the first engine and the differences of every other from it.

    The steps are 1, 2, 5, 10, 20, 50 ..., the last, and for each pair the first beyond the tolerance and the one
    before it.
    """
    reference = _reference(pairs)
    rows: list[Row] = []
    for number in _selected_steps(pairs):
        row: dict[str, object] = {"step": number}
        for pair in pairs:
            if pair.steps and pair.engines[0] == reference:
                step, other = pair.steps[number - 1], pair.engines[1]
                row[f"loss_on_{reference}"] = f"{step.first_loss:.12f}"
                row[f"{other}:_loss_difference"] = step.loss_difference
                row[f"{other}:_weight_difference"] = step.weight_difference
        rows.append(row)
    return rows


def _reference(pairs: Sequence[ParityPair]) -> str:
    """Return the first engine that took steps."""
    return next((pair.engines[0] for pair in pairs if pair.steps), "")


def _selected_steps(pairs: Sequence[ParityPair]) -> list[int]:
    n_steps = max((len(pair.steps) for pair in pairs), default=0)
    selected = {factor * 10**power for factor in (1, 2, 5) for power in range(7)} | {n_steps}
    for pair in pairs:
        if pair.first_beyond:
            selected |= {pair.first_beyond.step - 1, pair.first_beyond.step}
    return sorted(number for number in selected if 1 <= number <= n_steps)
