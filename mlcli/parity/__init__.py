"""`mlcli parity`: verify step by step that engines compute the same training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.errors import ConfigError, UsageError
from mlcli.experiment.threads import configure_threads
from mlcli.registry import BACKENDS, backend_info
from mlcli.text import comma_separated

if TYPE_CHECKING:
    from mlcli.config.schema import ExperimentConfig


@dataclass(frozen=True)
class ParityRequest:
    """Which engines take which steps, and how far their losses may differ."""

    backends: str = ",".join(BACKENDS)  # two or more names, separated by commas
    config: Path | None = None  # a YAML file; None: the defaults
    flags: Mapping[str, object] = field(default_factory=dict)  # by dotted configuration key; None: not given
    settings: Sequence[str] = ()  # texts `key.path=value`
    n_steps: int = 100
    tolerance: float = 1e-8  # on the loss of each step, nats per sample
    data_dir: Path | None = None  # None: the default directory
    offline: bool = False  # never use the network
    output_format: str = "table"


def run(request: ParityRequest) -> None:
    """Take the steps on every engine and print a report to stdout.

    MlcliError if a pair differs, or no pair can be compared.
    """
    from mlcli.rendering.console import checked_format, print_notes

    checked_format(request.output_format)
    experiments = _experiments(request)
    readable = (experiment for experiment in experiments.values() if not isinstance(experiment, str))
    threads = configure_threads(next(readable).runtime.threads)
    # Only now: these load numpy, which reads the thread count when it is loaded.
    from mlcli.parity.parity import check_parity, raise_if_different
    from mlcli.parity.report import print_parity

    report = check_parity(experiments, request, threads)
    print_notes(report.notes)
    print_parity(report, request.output_format)
    raise_if_different(report)


def _experiments(request: ParityRequest) -> dict[str, ExperimentConfig | str]:
    """Return the experiment resolved for each engine, or the reason why that fails; ConfigError if it fails for all."""
    from mlcli.config.experiment import load_experiment

    experiments: dict[str, ExperimentConfig | str] = {}
    errors: list[ConfigError] = []
    for backend in _backends(request.backends):
        flags = {**request.flags, "backend": backend}
        try:
            experiments[backend] = load_experiment(request.config, flags=flags, settings=request.settings)
        except ConfigError as error:
            errors.append(error)
            experiments[backend] = str(error)
    if len(errors) == len(experiments):
        raise errors[0]
    return experiments


def _backends(text: str) -> list[str]:
    names = comma_separated(text)
    for name in names:
        backend_info(name)
    if len(names) < 2:
        raise UsageError(f"--backends {text}: give at least two engines, e.g. torch,keras")
    return names
