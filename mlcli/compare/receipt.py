"""The comparability report: what was controlled between runs, and what differed, from the files of the runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcli.compare.draws import Draw, draw_of
from mlcli.compare.records import Receipt, ReceiptPart, ReceiptRow, RunFacts
from mlcli.config.dump import to_dict
from mlcli.config.schema import CnnModel, EstimatorModel, ExperimentConfig, MlpModel
from mlcli.errors import UsageError
from mlcli.experiment.session import Session
from mlcli.experiment.stored_run import StoredRun
from mlcli.records import RunRecord

_OF_SEED = ("seed", "initial weights", "batch order", "dropout masks")
_OF_FOLD = ("fold", "split seed", "split", "training samples", "test samples", "parameters")


def facts_of(run: StoredRun) -> RunFacts:
    """Return the facts of a finished run."""
    return RunFacts(run.record, run.config, run.preprocessing, run.files.environment())


def comparability_report(runs: Sequence[RunFacts]) -> Receipt:
    """Return a row for everything that can make two runs differ, with the value of each run.

    Values are those in effect: the epochs that were trained, the threads and the device that were used.
    UsageError for fewer than two runs.
    """
    if len(runs) < 2:
        raise UsageError("a comparability report needs two runs or more")
    facts = [
        {(part, what): _text(value) for part, values in _facts(run).items() for what, value in values.items()}
        for run in runs
    ]
    keys = dict.fromkeys(key for column in facts for key in column)
    rows = [ReceiptRow(part, what, tuple(column.get((part, what)) for column in facts)) for part, what in keys]
    return Receipt(tuple(run.record.run_id for run in runs), tuple(rows))


def report_by_variant(runs: Mapping[str, Sequence[RunFacts]]) -> Receipt:
    """Return a comparability report with a column per variant, from the runs of each, whose draws are the same.

    What the seed or the fold determines is equal if it is so for each of them. Everything else must be equal in all
    runs: where the runs of a variant differ in it, that is a difference, even if those of the others differ likewise.
    """
    labels = [label for label, members in runs.items() for _ in members]
    draws = [draw_of(run.config) for members in runs.values() for run in members]
    drawn = _OF_SEED if draws[0].fold is None else _OF_SEED + _OF_FOLD
    by_run = comparability_report([run for members in runs.values() for run in members])
    rows = []
    for row in by_run.rows:
        by_label: dict[str, dict[Draw, str | None]] = {label: {} for label in runs}
        for label, draw, value in zip(labels, draws, row.values, strict=True):
            by_label[label][draw] = value
        columns = list(by_label.values())
        is_drawn = row.what in drawn
        is_mixed = any(column != columns[0] for column in columns) if is_drawn else len(set(row.values)) > 1
        values = tuple(_joined(column, with_draws=not is_drawn) for column in columns)
        rows.append(ReceiptRow(row.part, row.what, values, is_mixed))
    return Receipt(tuple(runs), tuple(rows))


def _joined(by_draw: Mapping[Draw, str | None], *, with_draws: bool) -> str | None:
    """Return the value of all runs of a variant, or each of its values, with the draws that have it if asked for."""
    draws: dict[str | None, list[Draw]] = {}
    for draw, value in by_draw.items():
        draws.setdefault(value, []).append(draw)
    if len(draws) == 1:
        return next(iter(draws))
    marks = [f" ({_listed(found)})" if with_draws else "" for found in draws.values()]
    return ", ".join(f"{value or 'none'}{mark}" for value, mark in zip(draws, marks, strict=True))


def _listed(draws: Sequence[Draw]) -> str:
    """Return the seeds of draws, or how many folds they are."""
    if draws[0].fold is None:
        return f"seed {' '.join(str(draw.seed) for draw in draws)}"
    return f"{len(draws)} folds" if len(draws) > 1 else draws[0].split


def _facts(run: RunFacts) -> dict[ReceiptPart, dict[str, object]]:
    record, environment, config, settings = run.record, run.environment, run.config, to_dict(run.config)
    digests, packages = record.digests, environment.get("packages")
    return {
        "data": {
            "dataset": record.dataset,
            "dataset fingerprint": digests.get("dataset"),
            "folds": config.dataset.folds,
            "fold": config.dataset.fold if config.dataset.folds else None,
            "split seed": config.dataset.split_seed if config.dataset.folds else None,
            "split": digests.get("split"),
            **({"split method": config.dataset.split_method} if config.dataset.split_method else {}),
            "training samples": _n_train_samples(record),
            "test samples": record.metrics["test"].n_samples if "test" in record.metrics else None,
            "scaling": run.preprocessing.scaling.kind,
            "encoding": run.preprocessing.encoding.form if run.preprocessing.encoding else None,
        },
        "model": {
            "model": _section(settings["model"]),
            "parameters": record.n_parameters,
            "initial weights": digests.get("initial_weights"),
            "seed": record.seed,
        },
        "training": {
            "engine": record.backend,
            "optimizer": _section(settings["optimizer"]),
            "schedule": _section(settings["schedule"]) if config.training.epochs else None,
            "loss": _loss(config),
            "epochs": record.epochs,
            "batch size": config.training.batch_size,
            "batch order": digests.get("batch_order"),
            "dropout masks": _dropout_masks(config),
            "early stopping": _section(settings["training"]["early_stopping"]),
        },
        "machine": _machine(run),
        "code": {
            "mlcli and its metrics": record.mlcli_version,
            "git commit": environment.get("git_commit"),
            "python": environment.get("python"),
            **(dict(sorted(packages.items())) if isinstance(packages, Mapping) else {}),
        },
    }


def _machine(run: RunFacts) -> dict[str, object]:
    session, runtime = Session.stored(run.environment), run.config.runtime
    return {
        "device": run.record.device,
        "threads": run.record.threads,
        "precision": runtime.precision,
        "deterministic": runtime.deterministic,
        **{name: run.environment.get(name) for name in ("processor", "cores", "platform")},
        "measurement session": session.id if session else None,
        "runs at a time": session.n_parallel if session else None,
    }


def _n_train_samples(record: RunRecord) -> int | None:
    scored = record.metrics.get("train")  # all samples in records of version 1
    return record.n_train_samples or (scored.n_samples if scored else None)


def _dropout_masks(config: ExperimentConfig) -> str | None:
    """Return what determines the dropout masks besides the batches: every engine draws them its way from the seed."""
    dropout = config.model.dropout if isinstance(config.model, MlpModel | CnnModel) else 0
    return f"drawn by {config.backend} from seed {config.seed}" if dropout else None


def _loss(config: ExperimentConfig) -> str:
    weights = f", classes weighted ({config.training.class_weight})" if config.training.class_weight else ""
    if isinstance(config.model, EstimatorModel):
        return f"that of {config.model.estimator}{weights}"
    has_softmax = isinstance(config.model, MlpModel) and config.model.output == "softmax"
    return f"cross-entropy of {'probabilities' if has_softmax else 'logits'}{weights}"


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _section(section: Mapping[str, Any] | None) -> str | None:
    """Return a section of a configuration on one line: its name, then its settings."""
    if section is None:
        return None
    settings = [f"{key} {_text(value) or 'none'}" for key, value in section.items() if key != "name"]
    return ", ".join([section["name"], *settings] if "name" in section else settings)
