"""The CUDA devices that cells of a matrix may have."""

from __future__ import annotations

import os
from pathlib import Path

from mlcli.errors import UsageError


def visible_gpus() -> tuple[str, ...]:
    """Found without loading a framework: those of CUDA_VISIBLE_DEVICES, else all that the driver names.

    UsageError where there are none.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        devices = tuple(device.strip() for device in given.split(",") if device.strip() and device.strip() != "-1")
    else:
        devices = tuple(str(number) for number, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*"))))
    if not devices:
        raise UsageError("--gpus: there is no CUDA device here; leave the flag away to run on the CPU")
    return devices
