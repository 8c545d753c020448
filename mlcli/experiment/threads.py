"""One thread setting for every numerical library, through the environment they read when they are loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcli.config.schema import ExperimentConfig


_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def available_cores() -> int:
    """Cores this process may use: its affinity, and a container's CPU quota where there is one."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(n_cores, _quota() or n_cores))


def _quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Whole cores that the control group grants, None where it sets no limit."""
    try:
        quota, period = path.read_text(encoding="ascii").split()[:2]
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def set_thread_environment(threads: int) -> None:
    """Tell OpenMP, OpenBLAS and MKL how many threads to use. Acts on libraries that are not loaded yet."""
    os.environ.update(thread_environment(threads, sleep=threads > 1 and is_busy()))


def thread_environment(threads: int, *, sleep: bool) -> dict[str, str]:
    """The variables that decide the thread count, and whether OpenMP's threads sleep while they wait.

    OpenBLAS threads spin between calls, numpy's and scipy's against each other; a timeout of 2^4 cycles in place
    of 2^26 lets them sleep: a fit of the digits took 0.65 s with two spinning threads and 0.035 s without.
    OpenMP's spin too, which is fastest on an idle machine; where other work already wants every core they take
    turns with it, and an epoch can take fifty times as long. There they are told to sleep. What the environment
    says already stays.
    """
    variables = dict.fromkeys(_VARIABLES, str(threads))
    variables["OPENBLAS_THREAD_TIMEOUT"] = os.environ.get("OPENBLAS_THREAD_TIMEOUT", "4")
    if sleep:
        variables["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "passive")
    return variables


def is_busy() -> bool:
    """Whether other work has wanted every core of the machine during the last minute."""
    return machine_load() >= (os.cpu_count() or 1)


def machine_load() -> float:
    """Processes that wanted a core, on average over the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def configure_threads(experiment: ExperimentConfig, threads: int | None = None) -> int:
    """The flag, else the configuration, else the cores available; told to the libraries. Call it before numpy loads."""
    from mlcli.config.values import MOST_THREADS
    from mlcli.errors import UsageError

    if threads is not None and threads > MOST_THREADS:
        raise UsageError(f"--threads {threads}: must be at most {MOST_THREADS}")
    n_threads = threads or experiment.runtime.threads or available_cores()
    set_thread_environment(n_threads)
    return n_threads
