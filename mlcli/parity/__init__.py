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
    explain: bool = False  # also show that the logits of every engine are x W^T + b
    data_dir: Path | None = None  # None: the default directory
    offline: bool = False  # never use the network
    output_format: str = "table"
    quiet: bool = False  # print no notes


def run(request: ParityRequest) -> None:
    """Take the steps on every engine and print a report to stdout.

    MlcliError if a pair differs, no pair can be compared, or the logits of an engine are not x W^T + b.
    """
    from mlcli.rendering.console import checked_format, print_notes

    checked_format(request.output_format)
    experiments = _experiments(request)
    readable = (one for one in experiments.values() if not isinstance(one, ConfigError))
    threads = configure_threads(next(readable).runtime.threads)
    # Only now: these load numpy, which reads the thread count when it is loaded.
    from mlcli.parity.parity import check_parity, raise_if_different
    from mlcli.parity.report import print_parity

    report = check_parity(experiments, request, threads)
    if not request.quiet:
        print_notes(report.notes)
    print_parity(report, request.output_format)
    raise_if_different(report)


def _experiments(request: ParityRequest) -> dict[str, ExperimentConfig | ConfigError]:
    """Return the experiment resolved for each engine, or the error that prevents that; raise it if no engine has one.

    UsageError for fewer than two engines and for an unknown one.
    """
    from mlcli.config.experiment import load_experiment

    experiments: dict[str, ExperimentConfig | ConfigError] = {}
    for backend in comma_separated(request.backends):
        backend_info(backend)
        flags = {**request.flags, "backend": backend}
        try:
            experiments[backend] = load_experiment(request.config, flags=flags, settings=request.settings)
        except ConfigError as error:
            experiments[backend] = error
    if len(experiments) < 2:
        raise UsageError(f"--backend {request.backends}: give at least two engines, e.g. torch,keras")
    errors = [one for one in experiments.values() if isinstance(one, ConfigError)]
    if len(errors) == len(experiments):
        raise errors[0]
    return experiments
