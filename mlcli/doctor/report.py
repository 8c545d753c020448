"""Print a diagnosis: as tables with the problems below, or as one JSON document."""

from __future__ import annotations

from dataclasses import asdict

from mlcli.doctor.diagnosis import Diagnosis, Folder, extra_of
from mlcli.doctor.engines import Device
from mlcli.rendering import OutputFormat
from mlcli.rendering.console import escape, result_console, write_text
from mlcli.rendering.tables import Fields, print_summary


def print_diagnosis(diagnosis: Diagnosis, output_format: str) -> None:
    """Print to stdout. Problems follow a table one by one, each with what to do."""
    sections = _sections(diagnosis)
    row = {label: value for section in sections for label, value in section}
    print_summary("mlcli doctor", sections, row, asdict(diagnosis), output_format)
    lines = [f"{one.problem}\n  {one.advice}" for one in diagnosis.problems] or ["no problems found"]
    if output_format == OutputFormat.TABLE:
        for line in lines:
            result_console().print(escape(line), soft_wrap=True)
    elif output_format == OutputFormat.MARKDOWN:
        write_text("\n" + "".join(f"- {line}\n" for line in lines))


def _sections(diagnosis: Diagnosis) -> list[Fields]:
    extras = {name: f"pip install 'mlcli[{extra_of(name)}]'" for name in diagnosis.optional_packages}
    return [
        [("mlcli", diagnosis.mlcli_version), ("python", f"{diagnosis.python} ({diagnosis.executable})")],
        [(name, found or "not installed") for name, found in diagnosis.packages.items()],
        [
            (name, found or f"not installed (optional: {extras[name]})")
            for name, found in diagnosis.optional_packages.items()
        ],
        [("platform", diagnosis.platform), ("processor", diagnosis.processor), ("cores", str(diagnosis.n_cores or ""))],
        [("threads", f"{diagnosis.threads} ({diagnosis.threads_source})")],
        [
            *((device.name, _device(device)) for device in diagnosis.devices),
            ("device auto", diagnosis.default_device or "none"),
        ],
        [
            (f"engine {one.backend}", "cannot run" if one.error else f"works on {one.device}")
            for one in diagnosis.engines
        ],
        [(f"{folder.purpose} folder", _folder(folder)) for folder in diagnosis.folders],
        [(f"dataset {one.name}", one.state) for one in diagnosis.datasets],
    ]


def _device(device: Device) -> str:
    memory = "" if device.memory_bytes is None else f", {device.memory_bytes / 2**30:.1f} GiB"
    return f"{device.title}{memory}"


def _folder(folder: Folder) -> str:
    state = "writable" if folder.is_writable else "not writable"
    free = "" if folder.free_bytes is None else f", {folder.free_bytes / 2**30:.1f} GiB free"
    return f"{folder.path} ({state if folder.exists else f'not there yet, {state}'}{free})"
