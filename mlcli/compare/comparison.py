"""Runs to a comparison: data checked, variants grouped, every two judged, and a receipt of what was held equal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlcli.compare.pairs import Shortfall, compare_pairs, mean_figures, worse_than
from mlcli.compare.receipt import comparability_report, facts_of
from mlcli.compare.records import Comparison, MatrixCost, Receipt, ReceiptRow, Variant
from mlcli.compare.variants import GatheredRun, check_same_data, gather_runs, grouped, measure
from mlcli.errors import UsageError, unknown_name
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.runs.find import find_run


def compare_runs(
    references: Sequence[str],
    runs_directory: Path,
    *,
    reference: str | None = None,
    allow_different_data: bool = False,
) -> Comparison:
    """Compare runs that are there: see `gather_runs` for what a reference to runs can be."""
    return compare_gathered(
        gather_runs(references, runs_directory), reference=reference, allow_different_data=allow_different_data
    )


def compare_gathered(
    runs: Sequence[GatheredRun],
    *,
    reference: str | None = None,
    allow_different_data: bool = False,
    cost: MatrixCost | None = None,
) -> Comparison:
    """Compare runs; every variant with a finished run is judged, the others keep their reasons.

    reference: the label of the variant that the others are held against, or the start of one; the first where None.
    UsageError where data or splits differ, unless that is allowed.
    """
    if not allow_different_data:
        check_same_data(run.run for run in runs if run.run)
    variants, stored, notes = grouped(runs)
    variants = _reference_first(variants, reference)
    first = runs[0].config
    ran = [variant.label for variant in variants if variant.runs]
    return Comparison(
        name=first.name or first.dataset.name,
        dataset=", ".join(dict.fromkeys(run.config.dataset.name for run in runs)),
        variants=tuple(variants),
        means={variant.label: mean_figures(variant) for variant in variants},
        reference=ran[0] if ran else None,
        pairs=compare_pairs(variants),
        notes=tuple(notes + _notes(variants)),
        receipt=_receipt(variants, stored),
        cost=cost,
    )


def _reference_first(variants: Sequence[Variant], reference: str | None) -> list[Variant]:
    """The reference, then the others in their order; those without runs last."""
    chosen = _named(variants, reference) if reference else None
    return sorted(variants, key=lambda variant: (not variant.runs, variant is not chosen))


def _named(variants: Sequence[Variant], reference: str) -> Variant:
    labels = [variant.label for variant in variants if variant.runs]
    fits = [variant for variant in variants if variant.runs and variant.label.startswith(reference)]
    exact = [variant for variant in fits if variant.label == reference]
    if len(exact or fits) != 1:
        problem = unknown_name("variant", reference, labels) if not fits else f"{reference!r} fits several variants"
        raise UsageError(f"--reference: {problem}")
    return (exact or fits)[0]


def _notes(variants: Sequence[Variant]) -> list[str]:
    """What the runs have to log, each once, with the number of runs that say it; numbers in it do not count."""
    texts: dict[str, list[str]] = {}
    for variant in variants:
        for run in variant.runs:
            for note in run.notes:
                texts.setdefault(re.sub(r"[\d.]+", "#", note), []).append(note)
    notes = [f"{found[0]} ({len(found)} runs)" if len(found) > 1 else found[0] for found in texts.values()]
    ran = [variant for variant in variants if variant.runs]
    if any(variant.seeds != ran[0].seeds for variant in ran):
        notes.append(
            "the variants have different seeds: only seeds that two have in common are held against each other"
        )
    return notes


def _receipt(variants: Sequence[Variant], stored: Mapping[str, Sequence[StoredRun]]) -> Receipt | None:
    """A column a variant. What differs by seed is taken over the seeds that all variants have, where there are any."""
    ran = [variant for variant in variants if variant.runs]
    if len(ran) < 2:
        return None
    common = set.intersection(*(set(variant.seeds) for variant in ran))
    chosen = [
        (variant.label, run)
        for variant in ran
        for run in stored[variant.label]
        if not common or run.record.seed in common
    ]
    whole = comparability_report([facts_of(run) for _, run in chosen])
    labels = [label for label, _ in chosen]
    rows = [ReceiptRow(row.part, row.what, _by_variant(labels, row.values)) for row in whole.rows]
    return Receipt(tuple(variant.label for variant in ran), tuple(rows))


def _by_variant(labels: Sequence[str], values: Sequence[str | None]) -> tuple[str | None, ...]:
    """The values of each variant's runs as one."""
    by_label: dict[str, list[str | None]] = {}
    for label, value in zip(labels, values, strict=True):
        by_label.setdefault(label, []).append(value)
    return tuple(_joined(list(dict.fromkeys(found))) for found in by_label.values())


def _joined(values: Sequence[str | None]) -> str | None:
    if len(values) == 1:
        return values[0]
    return ", ".join("none" if value is None else value for value in values)


def shortfalls(comparison: Comparison, reference: str, runs_directory: Path) -> list[Shortfall]:
    """The variants that are significantly less accurate than one given run, scored on the same samples.

    UsageError for a run that is not there or was scored on other samples.
    """
    run = measure(open_run(find_run(reference, runs_directory)))
    for variant in comparison.variants:
        if any(other.test_digest != run.test_digest for other in variant.runs):
            raise UsageError(f"--fail-if-worse {reference}: {variant.label} was scored on other test samples")
    return worse_than(comparison.variants, run)
