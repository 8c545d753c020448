"""The comparability report: what was controlled between runs, and what differed, from the files of the runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcli.compare.records import Receipt, ReceiptPart, ReceiptRow, RunFacts
from mlcli.config.dump import to_dict
from mlcli.config.schema import EstimatorModel, ExperimentConfig, MlpModel
from mlcli.errors import UsageError
from mlcli.experiment.stored_run import StoredRun
from mlcli.records import RunRecord


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


def _facts(run: RunFacts) -> dict[ReceiptPart, dict[str, object]]:
    record, environment, config, settings = run.record, run.environment, run.config, to_dict(run.config)
    digests, packages = record.digests, environment.get("packages")
    return {
        "data": {
            "dataset": record.dataset,
            "dataset fingerprint": digests.get("dataset"),
            "split": digests.get("split"),
            "training samples": _n_train_samples(record),
            "test samples": record.metrics["test"].n_samples if "test" in record.metrics else None,
            "scaling": run.preprocessing.scaling.kind,
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
            "early stopping": _section(settings["training"]["early_stopping"]),
        },
        "machine": {
            "device": record.device,
            "threads": record.threads,
            "precision": config.runtime.precision,
            "deterministic": config.runtime.deterministic,
            **{name: environment.get(name) for name in ("processor", "cores", "platform")},
        },
        "code": {
            "mlcli and its metrics": record.mlcli_version,
            "python": environment.get("python"),
            **(dict(sorted(packages.items())) if isinstance(packages, Mapping) else {}),
        },
    }


def _n_train_samples(record: RunRecord) -> int | None:
    scored = record.metrics.get("train")  # all samples in records of version 1
    return record.n_train_samples or (scored.n_samples if scored else None)


def _loss(config: ExperimentConfig) -> str:
    if isinstance(config.model, EstimatorModel):
        return f"loss of {config.model.estimator}"
    has_softmax = isinstance(config.model, MlpModel) and config.model.output == "softmax"
    return f"cross-entropy of {'probabilities' if has_softmax else 'logits'}"


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
