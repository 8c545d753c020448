"""The comparability report: what was controlled between runs, and what differed, from the files of the runs alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlcli.compare.records import Receipt, ReceiptPart, ReceiptRow, RunFacts
from mlcli.config.dump import to_dict
from mlcli.config.schema import EstimatorModel, ExperimentConfig, MlpModel
from mlcli.errors import UsageError
from mlcli.experiment.stored_run import StoredRun


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
    facts = [_facts(run) for run in runs]
    keys = dict.fromkeys(key for column in facts for key in column)
    rows = [ReceiptRow(part, what, tuple(column.get((part, what)) for column in facts)) for part, what in keys]
    return Receipt(tuple(run.record.run_id for run in runs), tuple(rows))


def _facts(run: RunFacts) -> dict[tuple[ReceiptPart, str], str | None]:
    """Return every value by part and name."""
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
        "model": _section_text(to_dict(run.config)["model"]),
        "parameters": _text(run.record.n_parameters),
        "initial weights": run.record.digests.get("initial_weights"),
        "seed": _text(run.record.seed),
    }


def _training(run: RunFacts) -> dict[str, str | None]:
    settings, training = to_dict(run.config), run.config.training
    return {
        "engine": run.record.backend,
        "optimizer": _section_text(settings["optimizer"]),
        "schedule": _section_text(settings["schedule"]) if training.epochs else None,
        "loss": _loss(run.config),
        "epochs": _text(run.record.epochs),
        "batch size": _text(training.batch_size),
        "batch order": run.record.digests.get("batch_order"),
        "early stopping": _section_text(settings["training"]["early_stopping"]),
    }


def _loss(config: ExperimentConfig) -> str:
    if isinstance(config.model, EstimatorModel):
        return f"loss of {config.model.estimator}"
    has_softmax = isinstance(config.model, MlpModel) and config.model.output == "softmax"
    return f"cross-entropy of {'probabilities' if has_softmax else 'logits'}"


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


def _section_text(section: Mapping[str, Any] | None) -> str | None:
    """Return a section of a configuration on one line: its name, then its settings."""
    if section is None:
        return None
    settings = [f"{key} {_text(value) or 'none'}" for key, value in section.items() if key != "name"]
    return ", ".join([section["name"], *settings] if "name" in section else settings)
