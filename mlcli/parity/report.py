"""Parity as a reader sees it: a verdict for each pair of engines, then the steps that tell most."""

from __future__ import annotations

import sys

from mlcli.parity.records import ParityPair, ParityReport, ParityStep
from mlcli.rendering.console import OutputFormat, result_console
from mlcli.rendering.tables import Row, print_csv, print_markdown, print_table
from mlcli.text import to_json

_SCHEMA_VERSION = 1


def print_parity(report: ParityReport, output_format: str) -> None:
    """Print a parity report to stdout. JSON and CSV hold every step, table and Markdown a choice of them."""
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
        print_table(f"step by step; differences are from {_base(report)}", rows)
    for line in _reason_lines(report):
        result_console().print(line, markup=False)


def _reason_lines(report: ParityReport) -> list[str]:
    """Each reason once, with the pairs that it keeps apart."""
    pairs: dict[str, list[str]] = {}
    for pair in report.pairs:
        if pair.reason:
            pairs.setdefault(pair.reason, []).append(" and ".join(pair.engines))
    return [f"not compared, {', '.join(names)}: {reason}" for reason, names in pairs.items()]


def parity_document(report: ParityReport) -> dict[str, object]:
    """The report as plain values, every step of every pair included."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "experiment": report.experiment,
        "precision": "float64",
        "n_steps": report.n_steps,
        "batch_size": report.batch_size,
        "n_parameters": report.n_parameters,
        "pairs": [_verdict(pair) | {"steps": [_step_figures(step) for step in pair.steps]} for pair in report.pairs],
        "notes": list(report.notes),
    }


def pair_rows(report: ParityReport) -> list[dict[str, object]]:
    """One row a pair: verdict, largest differences, the first step beyond the tolerance."""
    rows = []
    for pair in report.pairs:
        verdict = _verdict(pair)
        engines = f"{verdict.pop('first')} and {verdict.pop('second')}"
        rows.append({"engines": engines} | verdict)
    if not any(pair.reason for pair in report.pairs):
        for row in rows:
            del row["reason"]
    return rows


def _verdict(pair: ParityPair) -> dict[str, object]:
    beyond = pair.first_beyond
    return {
        "first": pair.engines[0],
        "second": pair.engines[1],
        "verdict": pair.verdict,
        "largest_loss_difference": max((step.loss_difference for step in pair.steps), default=None),
        "largest_weight_difference": max((step.weight_difference for step in pair.steps), default=None),
        "tolerance": pair.tolerance,
        "first_step_beyond": beyond.step if beyond else None,
        "reason": pair.reason,
    }


def _step_figures(step: ParityStep) -> dict[str, object]:
    return {
        "step": step.step,
        "first_loss": step.losses[0],
        "second_loss": step.losses[1],
        "loss_difference": step.loss_difference,
        "weight_difference": step.weight_difference,
    }


def _csv_rows(pair: ParityPair) -> list[Row]:
    """One row a step, and one without figures for a pair that was not compared."""
    named: dict[str, object] = {"first": pair.engines[0], "second": pair.engines[1]}
    if not pair.steps:
        empty = dict.fromkeys(("step", "first_loss", "second_loss", "loss_difference", "weight_difference"))
        return [named | empty | {"is_within": None, "reason": pair.reason}]
    return [
        named | _step_figures(step) | {"is_within": step.loss_difference <= pair.tolerance, "reason": None}
        for step in pair.steps
    ]


def step_rows(report: ParityReport) -> list[dict[str, object]]:
    """The loss of the first engine, and how far every other one is from it, at the steps that tell most.

    Those are 1, 2, 5, 10, 20, 50 ..., the last, and for each pair the first beyond the tolerance and the one before.
    """
    base = _base(report)
    against_base = [pair for pair in report.pairs if pair.steps and pair.engines[0] == base]
    rows = []
    for number in _telling_steps(report):
        row: dict[str, object] = {"step": number}
        for pair in against_base:
            step, other = pair.steps[number - 1], pair.engines[1]
            row |= {
                f"loss_on_{base}": f"{step.losses[0]:.12f}",
                f"loss_difference_of_{other}": step.loss_difference,
                f"weight_difference_of_{other}": step.weight_difference,
            }
        rows.append(row)
    return rows


def _base(report: ParityReport) -> str:
    """The first engine that took steps."""
    return next((pair.engines[0] for pair in report.pairs if pair.steps), "")


def _telling_steps(report: ParityReport) -> list[int]:
    n_steps = max((len(pair.steps) for pair in report.pairs), default=0)
    chosen = {factor * 10**power for factor in (1, 2, 5) for power in range(7)} | {n_steps}
    for pair in report.pairs:
        if pair.first_beyond:
            chosen |= {pair.first_beyond.step - 1, pair.first_beyond.step}
    return sorted(number for number in chosen if 1 <= number <= n_steps)
