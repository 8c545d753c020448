"""The checks of `mlcli doctor`, and the problems that they find."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mlcli import __version__
from mlcli.data.directory import cache_directory, data_directory
from mlcli.data.source import dataset_source
from mlcli.doctor import DoctorRequest
from mlcli.doctor.engines import Device, EngineCheck, check_engine, found_devices
from mlcli.doctor.threads import DefaultThreads
from mlcli.errors import MlcliError
from mlcli.experiment.environment import package_versions, processor_name
from mlcli.registry import BACKENDS, DATASETS
from mlcli.text import first_line

_EXTRAS = {"matplotlib": "plots", "pyarrow": "parquet", "onnx": "onnx", "onnxruntime": "onnx", "ray": "ray"}
_LITTLE_SPACE = 500 * 2**20  # bytes; the prepared data of one image dataset take about 60 MiB


@dataclass(frozen=True)
class Folder:
    """A folder that mlcli writes to. It need not exist yet."""

    purpose: str
    path: str
    exists: bool
    is_writable: bool
    free_bytes: int | None  # None if the system does not tell


@dataclass(frozen=True)
class DatasetCheck:
    """Whether a dataset is on this machine, and its files have the right checksums."""

    name: str
    state: str  # whole, incomplete, absent, altered, or unreadable, which another problem explains
    path: str | None  # of the first of its files; None if there is none
    detail: str | None = None  # what is wrong


@dataclass(frozen=True)
class Problem:
    """What does not work, and what to do."""

    problem: str
    advice: str


@dataclass(frozen=True)
class Diagnosis:
    """What `mlcli doctor` found; its fields are the keys of the JSON report."""

    mlcli_version: str
    python: str
    executable: str
    packages: Mapping[str, str | None]  # versions; None: not installed
    optional_packages: Mapping[str, str | None]
    platform: str
    processor: str
    n_cores: int | None
    threads: int
    threads_source: str
    devices: tuple[Device, ...]
    default_device: str | None  # what `auto` chooses; None without a working PyTorch
    engines: tuple[EngineCheck, ...]
    folders: tuple[Folder, ...]
    datasets: tuple[DatasetCheck, ...]
    problems: tuple[Problem, ...]
    is_usable: bool  # every engine runs
    schema_version: int = 1


def diagnose(
    request: DoctorRequest, threads: DefaultThreads, on_engine: Callable[[int, int | None], None]
) -> Diagnosis:
    """Check versions, engines, devices, folders and datasets. Nothing is written or downloaded.

    on_engine: called with the number of engines checked and the number of all.
    """
    engines = []
    for number, backend in enumerate(BACKENDS):
        on_engine(number, len(BACKENDS))
        engines.append(check_engine(backend, threads.number))
    devices, default_device = found_devices()
    packages, optional = package_versions(), {name: _version(name) for name in _EXTRAS}
    folders, datasets = _folders(request), tuple(_check_dataset(name, request.data_dir) for name in DATASETS)
    problems = [
        *(Problem(issue, "correct or unset this environment variable") for issue in threads.issues),
        *(Problem(f"{name} is not installed", f"pip install {name}") for name, found in packages.items() if not found),
        *(Problem(f"{one.backend} cannot run: {one.error}", _engine_advice(one)) for one in engines if one.error),
        *_device_problems(devices),
        *_folder_problems(folders),
        *(_dataset_problem(one) for one in datasets if one.state in ("incomplete", "altered")),
    ]
    return Diagnosis(
        mlcli_version=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        packages=packages,
        optional_packages=optional,
        platform=platform.platform(),
        processor=processor_name(),
        n_cores=os.cpu_count(),
        threads=threads.number,
        threads_source=threads.source,
        devices=devices,
        default_device=default_device,
        engines=tuple(engines),
        folders=folders,
        datasets=datasets,
        problems=tuple(problems),
        is_usable=not any(one.error for one in engines),
    )


def raise_if_unusable(diagnosis: Diagnosis) -> None:
    """MlcliError if an engine cannot run."""
    broken = [one.backend for one in diagnosis.engines if one.error]
    if broken:
        raise MlcliError(f"{' and '.join(broken)} cannot run; the report says why")


def extra_of(package: str) -> str:
    """Return the optional feature of mlcli that needs a package, as `pip install 'mlcli[NAME]'` names it."""
    return _EXTRAS[package]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _engine_advice(check: EngineCheck) -> str:
    if check.missing_package:
        return f"pip install {check.missing_package}"
    return f"mlcli --debug train --backend {check.backend} --dataset iris shows the traceback"


def _device_problems(devices: tuple[Device, ...]) -> Iterator[Problem]:
    if shutil.which("nvidia-smi") and devices and not any(device.name.startswith("cuda") for device in devices):
        yield Problem(
            "PyTorch finds no CUDA device, although an NVIDIA driver is installed",
            "install a CUDA build of PyTorch that the driver supports; nvidia-smi shows its CUDA version",
        )


def _folders(request: DoctorRequest) -> tuple[Folder, ...]:
    try:
        data = data_directory(request.data_dir)
    except MlcliError:
        data = Path(request.data_dir or os.environ.get("MLCLI_DATA_DIR", ""))
    try:
        cache = cache_directory()
    except MlcliError:
        cache = data
    return tuple(_folder(*found) for found in (("data", data), ("cache", cache), ("runs", request.runs_dir)))


def _folder(purpose: str, path: Path) -> Folder:
    path = Path(os.path.abspath(path))
    existing = next(parent for parent in (path, *path.parents) if os.path.exists(parent))
    writable = (
        os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK) and bool(existing.stat().st_mode & 0o222)
    )
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        free = None
    return Folder(purpose, str(path), path == existing, writable, free)


_OPTIONS = {"data": "--data-dir or MLCLI_DATA_DIR", "cache": "XDG_CACHE_HOME", "runs": "--runs-dir or MLCLI_RUNS_DIR"}


def _folder_problems(folders: tuple[Folder, ...]) -> Iterator[Problem]:
    cache = next(folder for folder in folders if folder.purpose == "cache")
    for folder in folders:
        name = f"the {folder.purpose} folder {folder.path}"
        if not folder.is_writable:
            if folder.purpose == "data" and cache.is_writable and folder.exists:
                continue  # the cache holds what is prepared from a shared, read-only data folder
            advice = f"make it writable, or choose another one with {_OPTIONS[folder.purpose]}"
            yield Problem(f"{name} cannot be written", advice)
        elif folder.free_bytes is not None and folder.free_bytes < _LITTLE_SPACE:
            yield Problem(f"only {folder.free_bytes / 2**20:,.0f} MiB are free for {name}", "free some space there")


def _check_dataset(name: str, data_dir: Path | None) -> DatasetCheck:
    try:
        report = dataset_source(name).verify(data_directory(data_dir))
    except (MlcliError, ImportError, OSError) as error:
        return DatasetCheck(name, "unreadable", None, first_line(error))
    path = next((str(check.path) for check in report.checks if check.state != "missing"), None)
    altered = [f"{check.path} {check.detail}" for check in report.checks if check.state == "altered"]
    missing = [f"{check.path} {check.detail}" for check in report.checks if check.state == "missing"]
    if altered:
        return DatasetCheck(name, "altered", path, altered[0])
    if report.is_absent:
        return DatasetCheck(name, "absent", None)
    return DatasetCheck(name, "whole", path) if report.usable else DatasetCheck(name, "incomplete", path, missing[0])


def _dataset_problem(check: DatasetCheck) -> Problem:
    return Problem(f"dataset {check.name} is {check.state}: {check.detail}", f"mlcli data fetch {check.name}")
