"""Runs on disk to the variants of a comparison: found by name, measured, grouped, labelled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from mlcli.compare.records import Failure, MeasuredRun, Variant
from mlcli.config.dump import config_digest, to_dict
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.records import RunRecord
from mlcli.runs.directory import CONFIG, RunDirectory
from mlcli.runs.find import find_run, find_runs
from mlcli.runs.reader import read_config
from mlcli.text import first_line

# What tells variants apart is looked for here first, then among all other keys.
_FIRST_KEYS = ("backend", "model.name", "model.estimator", "dataset.name", "optimizer.name", "optimizer.lr")
_LARGEST = 1e100  # of a figure; the squares of larger ones, as of a loss that is about to overflow, do not exist
_TICK = 1e-9  # seconds; no clock counts shorter ones


@dataclass(frozen=True)
class GatheredRun:
    """A run that takes part: finished and opened, or with the reason why it did not finish."""

    config: ExperimentConfig
    run: StoredRun | None
    reason: str | None = None
    is_reused: bool = False

    @property
    def variant_key(self) -> str:
        """Equal for runs that differ in nothing but the seed."""
        return config_digest(self.config.model_copy(update={"seed": 0}))


def gather_runs(references: Sequence[str], runs_directory: Path) -> list[GatheredRun]:
    """The runs that are meant: directories, ids, unique prefixes, `last`, and globs over paths or ids.

    Each once, in the order given. UsageError for a reference that fits nothing.
    """
    directories: dict[Path, RunDirectory] = {}
    for reference in references:
        for directory in _directories(reference, runs_directory):
            directories.setdefault(directory.path.resolve(), directory)
    return [gathered(directory, runs_directory) for directory in directories.values()]


def _directories(reference: str, runs_directory: Path) -> list[RunDirectory]:
    if not has_magic(reference):
        return [find_run(reference, runs_directory)]
    by_id = [run for run in find_runs(runs_directory) if fnmatch(run.run_id, reference)]
    found = by_id or [RunDirectory(Path(path)) for path in glob(reference) if os.path.isfile(Path(path) / CONFIG)]
    if not found:
        raise UsageError(f"{reference}: fits no run in {runs_directory} and no path")
    return sorted(found, key=lambda run: run.run_id)


def gathered(directory: RunDirectory, runs_directory: Path, *, is_reused: bool = False) -> GatheredRun:
    """A run directory as a part of a comparison; DataError where files of a finished run are missing or altered."""
    record = directory.read_record() if directory.has_record() else None
    if record is not None and record.status == "finished":
        run = open_run(directory)
        return GatheredRun(run.config, run, is_reused=is_reused)
    return GatheredRun(read_config(directory.path), None, _reason(record))


def _reason(record: RunRecord | None) -> str:
    if record is None:
        return "unfinished: it was stopped, or still runs"
    return f"{record.status}: {first_line(record.error)}" if record.error else record.status


def check_same_data(runs: Iterable[StoredRun]) -> None:
    """UsageError where runs were trained or scored on different data or splits."""
    first: StoredRun | None = None
    for run in runs:
        first = first or run
        for part, what in (("dataset", "datasets"), ("split", "splits")):
            if run.record.digests[part] != first.record.digests[part]:
                raise UsageError(
                    f"different {what}: {first.record.run_id} has {first.record.dataset} "
                    f"{first.record.digests[part][:12]}, {run.record.run_id} has {run.record.dataset} "
                    f"{run.record.digests[part][:12]}\nscores on different data cannot be held against each other; "
                    "--allow-different-data shows them side by side"
                )


def grouped(runs: Sequence[GatheredRun]) -> tuple[list[Variant], dict[str, list[StoredRun]], list[str]]:
    """Variants with labels, in the order in which they first appear; their runs by label; and notes."""
    groups: dict[str, list[GatheredRun]] = {}
    for run in runs:
        groups.setdefault(run.variant_key, []).append(run)
    settings = distinguishing_settings([members[0].config for members in groups.values()])
    variants, stored, notes = [], {}, []
    for members, chosen in zip(groups.values(), settings, strict=True):
        variant, opened, more = _variant(members, chosen)
        variants.append(variant)
        stored[variant.label] = opened
        notes += more
    return variants, stored, notes


def _variant(members: Sequence[GatheredRun], settings: Mapping[str, str]) -> tuple[Variant, list[StoredRun], list[str]]:
    label = label_of(settings)
    newest: dict[int, GatheredRun] = {}
    notes = []
    for member in sorted((member for member in members if member.run), key=_created):
        if member.config.seed in newest:
            notes.append(f"{label}: several runs with seed {member.config.seed}; the newest counts")
        newest[member.config.seed] = member
    ran = [newest[seed] for seed in sorted(newest)]
    failures = [
        Failure(member.config.seed, member.reason or "")
        for member in members
        if member.run is None and member.config.seed not in newest
    ]
    opened = [member.run for member in ran if member.run]
    measured = [measure(member.run, is_reused=member.is_reused) for member in ran if member.run]
    return Variant(label, settings, tuple(measured), tuple(failures)), opened, list(dict.fromkeys(notes))


def _created(member: GatheredRun) -> str:
    return member.run.record.created if member.run else ""


def measure(run: StoredRun, *, is_reused: bool = False) -> MeasuredRun:
    """The figures of a finished run, and on which test samples it was right."""
    record = run.record
    predictions = run.files.predictions()
    y = predictions["y"]
    if len(y) < 2 or len(y) != record.metrics["test"].n_samples:
        raise DataError(f"run {record.run_id}: predictions of {len(y):,} test samples, which is not what was scored")
    return MeasuredRun(
        run_id=record.run_id,
        directory=str(run.path),
        seed=record.seed,
        figures=_figures(record),
        correct=predictions["labels"] == y,
        test_digest=hashlib.sha256(record.digests["dataset"].encode() + y.tobytes()).hexdigest(),
        history=tuple(run.files.history()),
        notes=record.notes,
        is_reused=is_reused,
    )


def _figures(record: RunRecord) -> dict[str, float | None]:
    test, timing = record.metrics.get("test"), record.timing
    if test is None or timing is None:
        raise MlcliError(f"run {record.run_id}: finished, but without test scores or times")
    n_steady = (record.epochs or 1) - 1
    fit_seconds = timing.first_epoch_seconds + timing.remaining_epochs_seconds
    figures: dict[str, float | None] = {
        "accuracy": test.accuracy,
        "loss": test.loss,
        "fit_seconds": fit_seconds if fit_seconds >= _TICK else 0.0,
        "first_epoch_seconds": timing.first_epoch_seconds if record.epochs else None,
        "steady_epoch_seconds": timing.remaining_epochs_seconds / n_steady if n_steady else None,
        "samples_per_second": record.samples_per_second,
        "predict_seconds_per_sample": timing.evaluate_seconds / test.n_samples,
        "total_seconds": timing.total_seconds,
        "peak_memory_bytes": record.peak_memory_bytes,
        "n_parameters": record.n_parameters,
    }
    return {name: None if value is None or abs(value) > _LARGEST else value for name, value in figures.items()}


def distinguishing_settings(configs: Sequence[ExperimentConfig]) -> list[dict[str, str]]:
    """For each configuration the few settings that tell it from the others, by dotted key.

    Keys are added one by one, those that people name first, until all differ.
    """
    if len(configs) == 1:
        return [{"backend": configs[0].backend or ""}]
    flat = [_flat(to_dict(config)) for config in configs]
    names = list(dict.fromkeys([*_FIRST_KEYS, *(key for settings in flat for key in settings)]))
    varying = [name for name in names if name != "seed" and len({settings.get(name, "") for settings in flat}) > 1]
    chosen: list[str] = []
    for name in varying:
        before = _n_distinct(flat, chosen)
        if before == len(flat):
            break
        if _n_distinct(flat, [*chosen, name]) > before:
            chosen.append(name)
    return [{name: settings.get(name, "none") for name in chosen} for settings in flat]


def _n_distinct(flat: Sequence[Mapping[str, str]], names: Sequence[str]) -> int:
    return len({tuple(settings.get(name) for name in names) for settings in flat})


def _flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _text(value)
    return flat


def _text(value: object) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return "none" if value is None else str(value)


def label_of(settings: Mapping[str, str]) -> str:
    """The settings as a person says them: "torch", "torch lr=0.001", "lr=0.001"."""
    own = [settings["backend"]] if "backend" in settings else []
    return " ".join(own + [f"{short_key(key)}={value}" for key, value in settings.items() if key != "backend"])


def short_key(key: str) -> str:
    """The last part of a dotted key; the section for a name: optimizer.name is the optimizer."""
    section, _, last = key.rpartition(".")
    return section if last == "name" and section else last
