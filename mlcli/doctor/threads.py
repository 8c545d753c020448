"""The number of threads that a run would use here, and what decides it."""

from __future__ import annotations

from dataclasses import dataclass

from mlcli.errors import ConfigError
from mlcli.experiment.threads import core_limits


@dataclass(frozen=True)
class DefaultThreads:
    """The thread count without --threads, and where it comes from."""

    number: int
    source: str
    issues: tuple[str, ...] = ()  # in the MLCLI_* variables


def default_threads() -> DefaultThreads:
    """Return the thread count of MLCLI_THREADS, else the number of cores that this process may use."""
    from mlcli.config.experiment import load_experiment

    issues: tuple[str, ...] = ()
    try:
        configured = load_experiment(None).runtime.threads
    except ConfigError as error:
        configured, issues = None, error.issues
    if configured:
        return DefaultThreads(configured, "MLCLI_THREADS")
    limits = core_limits()
    source = min(limits, key=lambda name: limits[name])
    return DefaultThreads(limits[source], source, issues)
