"""From runs on disk to the variants of a comparison: find and measure runs, group them by configuration, label them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.draws import Draw, draw_of, without_draw
from mlcli.compare.receipt import facts_of
from mlcli.compare.records import Failure, MeasuredRun, RunResult, SampleValues, Variant
from mlcli.config.dump import config_digest, settings_by_key
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.metrics.influence import influences
from mlcli.records import RunRecord, Scores
from mlcli.registry import DEFAULT_METRIC, METRICS
from mlcli.runs.directory import CONFIG, RunDirectory
from mlcli.runs.find import find_run, find_runs
from mlcli.runs.reader import read_config
from mlcli.text import first_line

# The settings that distinguish variants are looked for among these first, then among all others.
_FIRST_KEYS = ("backend", "model.name", "model.estimator", "dataset.name", "optimizer.name", "optimizer.lr")
_LARGEST = 1e100  # a larger measurement, e.g. of a loss about to overflow, is dropped because its square overflows
_CLOCK_TICK = 1e-9  # seconds; shorter times are below the resolution of any clock


def find_results(references: Sequence[str], runs_directory: Path, metric: str = DEFAULT_METRIC) -> list[RunResult]:
    """Return the runs with these references: directories, ids, unique prefixes, `last`, and globs over paths or ids.

    Each run once, in the order given. UsageError for a reference that matches nothing; DataError if a file of a
    finished run is missing or altered.
    """
    directories: dict[Path, RunDirectory] = {}
    for reference in references:
        for directory in _directories(reference, runs_directory):
            directories.setdefault(directory.path.resolve(), directory)
    return [_result(directory, metric) for directory in directories.values()]


def _directories(reference: str, runs_directory: Path) -> list[RunDirectory]:
    if not has_magic(reference):
        return [find_run(reference, runs_directory)]
    by_id = [run for run in find_runs(runs_directory) if fnmatch(run.run_id, reference)]
    found = by_id or [RunDirectory(Path(path)) for path in glob(reference) if os.path.isfile(Path(path) / CONFIG)]
    if not found:
        raise UsageError(f"{reference}: no run in {runs_directory} and no path matches")
    return sorted(found, key=lambda run: run.run_id)


def _result(directory: RunDirectory, metric: str) -> RunResult:
    record = directory.read_record() if directory.has_record() else None
    if record is not None and record.status == "finished":
        run = measure(open_run(directory, record), metric)
        return RunResult(run.facts.config, run)
    reason = "unfinished: interrupted, or still running"
    if record is not None:
        reason = f"{record.status}: {first_line(record.error)}" if record.error else record.status
    return RunResult(read_config(directory.path), None, reason)


def measure(run: StoredRun, metric: str = DEFAULT_METRIC, *, is_reused: bool = False) -> MeasuredRun:
    """Return the measurements of a finished run; DataError if its predictions are not those that were scored.

    metric: by which the run is judged.
    """
    record = run.files.scored_record()
    predictions = run.files.predictions()
    y = predictions["y"]
    if len(y) < 2:
        raise DataError(f"run {record.run_id}: predictions of one test sample, and a comparison needs two or more")
    return MeasuredRun(
        facts=facts_of(replace(run, record=record)),
        directory=str(run.path),
        measurements=_measurements(record),
        correct=predictions["labels"] == y,
        test_digest=_test_digest(record, y),
        history=tuple(run.files.history()),
        is_reused=is_reused,
        samples=_sample_values(metric, predictions, record),
    )


def _sample_values(metric: str, predictions: Mapping[str, NDArray[Any]], record: RunRecord) -> SampleValues | None:
    """Return the pseudo-values of the test samples; None for accuracy, and for a metric that does not exist."""
    value = _measurements(record)[metric]
    if metric == DEFAULT_METRIC or value is None:
        return None
    y = predictions["y"]
    scores = Scores(predictions["labels"], predictions.get("logits"), predictions.get("probabilities"))
    return SampleValues(value + influences(metric, scores, y), y)


def _test_digest(record: RunRecord, y: NDArray[np.int64]) -> str:
    """Return a digest of the data, the split and the test labels, which other samples may have as well."""
    data = "".join(record.digests[part] for part in ("dataset", "split"))
    return hashlib.sha256(data.encode() + y.tobytes()).hexdigest()


def _measurements(record: RunRecord) -> dict[str, float | None]:
    test, timing = record.metrics.get("test"), record.timing
    if test is None or timing is None:
        raise MlcliError(f"run {record.run_id}: finished, but without test scores or times")
    n_steady = (record.epochs or 1) - 1
    fit_seconds = timing.first_epoch_seconds + timing.remaining_epochs_seconds
    values: dict[str, float | None] = {
        **{name: getattr(test, name) for name in METRICS},
        "fit_seconds": fit_seconds if fit_seconds >= _CLOCK_TICK else 0.0,
        "first_epoch_seconds": timing.first_epoch_seconds if record.epochs else None,
        "steady_epoch_seconds": timing.remaining_epochs_seconds / n_steady if n_steady else None,
        "samples_per_second": record.samples_per_second if record.epochs else None,
        "predict_seconds_per_sample": timing.evaluate_seconds / test.n_samples,
        "total_seconds": timing.total_seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
        "n_parameters": record.n_parameters,
    }
    return {name: None if value is None or abs(value) > _LARGEST else value for name, value in values.items()}


def check_same_data(runs: Iterable[MeasuredRun]) -> None:
    """UsageError if runs were trained or scored on different data or splits; folds of one division may differ."""
    first: dict[tuple[int | None, ...], MeasuredRun] = {}
    for run in runs:
        split = (run.n_folds, *run.draw[:2])
        other = first.setdefault(split, run)
        reference = next(iter(first.values()))
        _check_equal("dataset", run, reference)
        _check_equal("split", run, other if run.n_folds == reference.n_folds else reference)


def _check_equal(part: str, run: MeasuredRun, other: MeasuredRun) -> None:
    records = [run.facts.record for run in (other, run)]
    if len({record.digests[part] for record in records}) > 1:
        data = [f"{record.run_id} has {record.dataset} {record.digests[part][:12]}" for record in records]
        raise UsageError(
            f"different {part}s: {', '.join(data)}\n"
            "scores on different data are not comparable; --allow-different-data shows them anyway"
        )


def variants_of(results: Sequence[RunResult]) -> tuple[list[Variant], list[str]]:
    """Return the variants in the order in which they first appear, and notes about dropped runs.

    Runs that differ in nothing but the seed are one variant, and so are runs on folds of the same number of folds.
    """
    groups: dict[str, list[RunResult]] = {}
    for result in results:
        groups.setdefault(config_digest(without_draw(result.config)), []).append(result)
    settings = distinguishing_settings([without_draw(members[0].config) for members in groups.values()])
    notes: list[str] = []
    variants = [_variant(members, chosen, notes) for members, chosen in zip(groups.values(), settings, strict=True)]
    return variants, list(dict.fromkeys(notes))


def _variant(members: Sequence[RunResult], settings: Mapping[str, str], notes: list[str]) -> Variant:
    label = label_of(settings)
    newest: dict[Draw, MeasuredRun] = {}
    for run in sorted((member.run for member in members if member.run), key=lambda run: run.facts.record.created):
        if run.draw in newest:
            notes.append(f"{label}: several runs with {run.draw}; the newest is used")
        newest[run.draw] = run
    failed = [(draw_of(member.config), member.reason or "") for member in members if member.run is None]
    failures = [Failure(draw.seed, reason, draw.split_seed, draw.fold) for draw, reason in failed if draw not in newest]
    return Variant(label, settings, tuple(newest[draw] for draw in sorted(newest)), tuple(failures))


def distinguishing_settings(configs: Sequence[ExperimentConfig]) -> list[dict[str, str]]:
    """Return for each configuration the few settings that distinguish it from the others, by dotted key.

    Keys are added one by one, the most important ones first, until all configurations differ.
    """
    if len(configs) == 1:
        return [{"backend": configs[0].backend or ""}]
    flat = [{key: _text(value) for key, value in settings_by_key(config).items()} for config in configs]
    names = dict.fromkeys([*_FIRST_KEYS, *(key for settings in flat for key in settings)])
    chosen: list[str] = []
    n_distinct = 1
    for name in names:
        n_with_name = len({tuple(settings.get(key) for key in (*chosen, name)) for settings in flat})
        if name != "seed" and n_with_name > n_distinct:
            chosen.append(name)
            n_distinct = n_with_name
    return [{name: settings.get(name, "none") for name in chosen} for settings in flat]


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return "none" if value is None else str(value)


def label_of(settings: Mapping[str, str]) -> str:
    """Return the settings as a short label: "torch", "torch lr=0.001", "lr=0.001"."""
    backend = [settings["backend"]] if "backend" in settings else []
    return " ".join(backend + [f"{short_key(key)}={value}" for key, value in settings.items() if key != "backend"])


def short_key(key: str) -> str:
    """Return the last part of a dotted key, but the section for a name: optimizer.name is the optimizer."""
    section, _, last = key.rpartition(".")
    return section if last == "name" and section else last
