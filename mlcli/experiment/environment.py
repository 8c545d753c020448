"""The environment of a run: versions, machine and commit, which a result depends on besides its configuration."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mlcli import __version__
from mlcli.experiment.session import current_session
from mlcli.experiment.threads import core_limits, machine_load
from mlcli.memory import process_status_bytes

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "keras", "pandas", "safetensors", "skops")


def describe_environment(device: str, threads: int, fingerprint: str) -> dict[str, Any]:
    """Return package versions, the machine, the git commit of the current directory, and the data, as JSON values."""
    return {
        "mlcli": __version__,
        "python": platform.python_version(),
        "packages": package_versions(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "device": device,
        "threads": threads,
        "core_limits": core_limits(),
        "machine_load": machine_load(),
        "session": current_session(),
        "git_commit": _git_commit(),
        "dataset_fingerprint": fingerprint,
    }


def package_versions() -> dict[str, str | None]:
    """Return the version of each package that computes; None for one that is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process; None where the system does not report it.

    On Linux it counts from the start of the program, or from the last reset through /proc/self/clear_refs. Elsewhere
    it includes a program that replaced itself with this one (exec).
    """
    peak = process_status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor_name() -> str:
    """Return the model of the processor; empty where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git_commit() -> str | None:
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
