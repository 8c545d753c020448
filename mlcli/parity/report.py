"""The report of a parity check: a verdict for each pair of engines, and a selection of steps."""

from __future__ import annotations

import sys

from mlcli.parity.records import ParityPair, ParityReport, ParityStep
from mlcli.rendering.console import OutputFormat, result_console
from mlcli.rendering.tables import Row, print_csv, print_markdown, print_table
from mlcli.text import to_json

_SCHEMA_VERSION = 1


def print_parity(report: ParityReport, output_format: str) -> None:
    """Print a report to stdout. JSON and CSV contain every step, table and Markdown a selection."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(parity_document(report)))
        case OutputFormat.CSV:
            print_csv([row for pair in report.pairs for row in _csv_rows(pair)])
        case OutputFormat.MARKDOWN:
            print_markdown(pair_rows(report))
            if any(pair.steps for pair in report.pairs):
                sys.stdout.write("\n")
                print_markdown(step_rows(report))
        case OutputFormat.TABLE:
            _print_tables(report)


def _print_tables(report: ParityReport) -> None:
    title = f"{report.experiment} in float64, {report.n_steps:,} steps" if report.experiment else "nothing to compare"
    if report.batch_size:
        title += f" of {report.batch_size:,} samples"
    print_table(title, [{key: value for key, value in row.items() if key != "reason"} for row in pair_rows(report)])
    rows = step_rows(report)
    if rows:
        print_table(f"selected steps; differences from {_reference(report)}", rows)
    pairs_by_reason: dict[str, list[str]] = {}
    for pair in report.pairs:
        if pair.reason:
            pairs_by_reason.setdefault(pair.reason, []).append(" and ".join(pair.engines))
    for reason, pairs in pairs_by_reason.items():
        result_console().print(f"not compared, {', '.join(pairs)}: {reason}", markup=False)


def parity_document(report: ParityReport) -> dict[str, object]:
    """Return the report as plain values, with every step of every pair."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "experiment": report.experiment,
        "precision": "float64",
        "n_steps": report.n_steps,
        "batch_size": report.batch_size,
        "n_parameters": report.n_parameters,
        "pairs": [_pair_values(pair) | {"steps": [_step_values(step) for step in pair.steps]} for pair in report.pairs],
        "notes": list(report.notes),
    }


def pair_rows(report: ParityReport) -> list[dict[str, object]]:
    """Return one row per pair: verdict, largest differences, the first step beyond the tolerance."""
    hidden = {"first", "second"} if any(pair.reason for pair in report.pairs) else {"first", "second", "reason"}
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


def _step_values(step: ParityStep) -> dict[str, object]:
    return {
        "step": step.step,
        "first_loss": step.losses[0],
        "second_loss": step.losses[1],
        "loss_difference": step.loss_difference,
        "weight_difference": step.weight_difference,
    }


def _csv_rows(pair: ParityPair) -> list[Row]:
    """Return one row per step, and a single one, without numbers, for a pair that was not compared."""
    engines: dict[str, object] = {"first": pair.engines[0], "second": pair.engines[1]}
    steps = [_step_values(step) | {"is_within": step.loss_difference <= pair.tolerance} for step in pair.steps]
    keys = ("step", "first_loss", "second_loss", "loss_difference", "weight_difference", "is_within")
    return [engines | step | {"reason": pair.reason} for step in steps or [dict.fromkeys(keys)]]


def step_rows(report: ParityReport) -> list[dict[str, object]]:
    """Return, for a selection of steps, the loss of the first engine and the differences of every other from it.

    The steps are 1, 2, 5, 10, 20, 50 ..., the last, and for each pair the first beyond the tolerance and the one
    before it.
    """
    reference = _reference(report)
    pairs = [pair for pair in report.pairs if pair.steps and pair.engines[0] == reference]
    rows = []
    for number in _selected_steps(report):
        row: dict[str, object] = {"step": number}
        for pair in pairs:
            step, other = pair.steps[number - 1], pair.engines[1]
            row |= {
                f"loss_on_{reference}": f"{step.losses[0]:.12f}",
                f"{other}:_loss_difference": step.loss_difference,
                f"{other}:_weight_difference": step.weight_difference,
            }
        rows.append(row)
    return rows


def _reference(report: ParityReport) -> str:
    """Return the first engine that took steps."""
    return next((pair.engines[0] for pair in report.pairs if pair.steps), "")


def _selected_steps(report: ParityReport) -> list[int]:
    n_steps = max((len(pair.steps) for pair in report.pairs), default=0)
    selected = {factor * 10**power for factor in (1, 2, 5) for power in range(7)} | {n_steps}
    for pair in report.pairs:
        if pair.first_beyond:
            selected |= {pair.first_beyond.step - 1, pair.first_beyond.step}
    return sorted(number for number in selected if 1 <= number <= n_steps)
