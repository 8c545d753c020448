"""One thread count for every numerical library, set through environment variables that they read when loaded."""

from __future__ import annotations

import os
from pathlib import Path

from mlcli.errors import UsageError

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_SLURM_VARIABLE = "SLURM_CPUS_PER_TASK"


def available_cores() -> int:
    """Return the number of cores this process may use: the smallest of the limits."""
    return max(1, min(core_limits().values()))


def core_limits() -> dict[str, int]:
    """Return the number of cores that this process gets by each limit, by the name of the limit."""
    if hasattr(os, "sched_getaffinity"):
        limits = {"the cores that this process may use": len(os.sched_getaffinity(0))}
    else:
        limits = {"the cores of the machine": os.cpu_count() or 1}
    others = {"the CPU quota of the container": _quota(), _SLURM_VARIABLE: _slurm_cores()}
    return limits | {name: n_cores for name, n_cores in others.items() if n_cores is not None}


def threads_origin(configured: int | None) -> str:
    """Return what decides the thread count if the command line does not: the configuration, or the smallest limit."""
    limits = core_limits()
    return "runtime.threads" if configured else min(limits, key=lambda name: limits[name])


def _slurm_cores() -> int | None:
    """Return the cores that Slurm has allocated to this task; None outside of a job, or if all were allocated."""
    text = os.environ.get(_SLURM_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Return the whole cores that the control group grants; None where it sets no limit."""
    try:
        quota, period = path.read_text(encoding="ascii").split()[:2]
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None


def set_thread_environment(threads: int) -> None:
    """Set the thread count of OpenMP, OpenBLAS and MKL. Affects only libraries that are not loaded yet."""
    os.environ.update(thread_environment(threads, sleep=threads > 1 and is_busy()))


def thread_environment(threads: int, *, sleep: bool) -> dict[str, str]:
    """Return the variables that set the thread count, and whether OpenMP threads sleep while they wait.

    OpenBLAS threads spin between calls, those of numpy against those of scipy. With a timeout of 2^4 cycles instead
    of 2^26 they sleep: a fit of the digits took 0.65 s with two spinning threads and 0.035 s without.
    OpenMP threads spin too, which is fastest on an idle machine; on a machine whose cores are all busy, an epoch can
    take fifty times as long, so there they sleep. Values that the user has set are kept.
    """
    variables = dict.fromkeys(_VARIABLES, str(threads))
    variables["OPENBLAS_THREAD_TIMEOUT"] = os.environ.get("OPENBLAS_THREAD_TIMEOUT", "4")
    if sleep:
        variables["OMP_WAIT_POLICY"] = os.environ.get("OMP_WAIT_POLICY", "passive")
    return variables


def is_busy() -> bool:
    """Return whether other work has used every core of the machine during the last minute."""
    return machine_load() >= (os.cpu_count() or 1)


def machine_load() -> float:
    """Return the load average over the last minute; 0 where the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def configure_threads(configured: int | None, requested: int | None = None) -> int:
    """Set the thread count of every numerical library and return it. Call it before numpy is loaded.

    requested: the count of the command line; where None, that of the configuration, else `available_cores`.
    UsageError for a count that OpenMP does not survive.
    """
    from mlcli.config.values import MOST_THREADS

    if requested is not None and not 1 <= requested <= MOST_THREADS:
        raise UsageError(f"--threads {requested}: must be between 1 and {MOST_THREADS}")
    n_threads = requested or configured or available_cores()
    set_thread_environment(n_threads)
    return n_threads
