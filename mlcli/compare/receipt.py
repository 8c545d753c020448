"""The fairness receipt: what was held equal between runs, and what differed. A pure function of what runs leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcli.compare.records import Receipt, ReceiptPart, ReceiptRow
from mlcli.config.dump import to_dict
from mlcli.config.schema import EstimatorModel, ExperimentConfig, MlpModel
from mlcli.errors import UsageError
from mlcli.experiment.stored_run import StoredRun
from mlcli.records import Preprocessing, RunRecord


@dataclass(frozen=True)
class RunFacts:
    """What a run left behind that a receipt is made of: its record, resolved configuration and environment."""

    record: RunRecord
    config: ExperimentConfig
    preprocessing: Preprocessing
    environment: Mapping[str, Any]  # as in environment.json


def facts_of(run: StoredRun) -> RunFacts:
    """The facts of a run that was opened."""
    return RunFacts(run.record, run.config, run.preprocessing, run.files.environment())


def comparability_report(runs: Sequence[RunFacts]) -> Receipt:
    """A row for everything that can make two runs differ, with the value of each run.

    Runs are taken as they were carried out: epochs are those made, threads and device those used. UsageError for
    fewer than two runs.
    """
    if len(runs) < 2:
        raise UsageError("a receipt is about two runs or more")
    facts = [_facts(run) for run in runs]
    keys = dict.fromkeys(key for column in facts for key in column)
    rows = [ReceiptRow(part, what, tuple(column.get((part, what)) for column in facts)) for part, what in keys]
    return Receipt(tuple(run.record.run_id for run in runs), tuple(rows))


def _facts(run: RunFacts) -> dict[tuple[ReceiptPart, str], str | None]:
    """The value of everything, by part and name."""
    parts: dict[ReceiptPart, dict[str, str | None]] = {
        "data": _data(run),
        "model": _model(run),
        "training": _training(run),
        "machine": _machine(run),
        "code": _code(run),
    }
    return {(part, what): value for part, facts in parts.items() for what, value in facts.items()}


def _data(run: RunFacts) -> dict[str, str | None]:
    digests, metrics = run.record.digests, run.record.metrics
    return {
        "dataset": run.record.dataset,
        "dataset fingerprint": digests.get("dataset"),
        "split": digests.get("split"),
        "training samples": _text(metrics["train"].n_samples if "train" in metrics else None),
        "test samples": _text(metrics["test"].n_samples if "test" in metrics else None),
        "scaling": run.preprocessing.scaling.kind,
    }


def _model(run: RunFacts) -> dict[str, str | None]:
    return {
        "model": _in_words(to_dict(run.config)["model"]),
        "parameters": _text(run.record.n_parameters),
        "initial weights": run.record.digests.get("initial_weights"),
        "seed": _text(run.record.seed),
    }


def _training(run: RunFacts) -> dict[str, str | None]:
    settings, training = to_dict(run.config), run.config.training
    return {
        "engine": run.record.backend,
        "optimizer": _in_words(settings["optimizer"]),
        "schedule": _in_words(settings["schedule"]) if training.epochs else None,
        "loss": _loss(run.config),
        "epochs": _text(run.record.epochs),
        "batch size": _text(training.batch_size),
        "batch order": run.record.digests.get("batch_order"),
        "early stopping": _in_words(settings["training"]["early_stopping"]),
    }


def _loss(config: ExperimentConfig) -> str:
    if isinstance(config.model, EstimatorModel):
        return f"that of {config.model.estimator}"
    ends_in_softmax = isinstance(config.model, MlpModel) and config.model.output == "softmax"
    return f"cross-entropy of {'probabilities' if ends_in_softmax else 'logits'}"


def _machine(run: RunFacts) -> dict[str, str | None]:
    runtime, environment = run.config.runtime, run.environment
    return {
        "device": run.record.device,
        "threads": _text(run.record.threads),
        "precision": runtime.precision,
        "deterministic": _text(runtime.deterministic),
        "processor": _text(environment.get("processor")),
        "cores": _text(environment.get("cores")),
        "platform": _text(environment.get("platform")),
    }


def _code(run: RunFacts) -> dict[str, str | None]:
    packages = run.environment.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    return {
        "mlcli and its metrics": run.record.mlcli_version,
        "python": _text(run.environment.get("python")),
        **{name: _text(version) for name, version in sorted(versions.items())},
    }


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _in_words(section: Mapping[str, Any] | None) -> str | None:
    """A section of a configuration on one line: its name, then its settings."""
    if section is None:
        return None
    settings = [f"{key} {_text(value) or 'none'}" for key, value in section.items() if key != "name"]
    return ", ".join([section["name"], *settings] if "name" in section else settings)
