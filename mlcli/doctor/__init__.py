"""`mlcli doctor`: what is installed, which engines and devices work here, and which folders are used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlcli.experiment.threads import set_thread_environment
from mlcli.runs import DEFAULT_RUNS_DIR


@dataclass(frozen=True)
class DoctorRequest:
    """Which folders to look at, and how to report."""

    runs_dir: Path = DEFAULT_RUNS_DIR
    data_dir: Path | None = None  # None: the default directory
    output_format: str = "table"
    quiet: bool = False  # no progress


def run(request: DoctorRequest) -> None:
    """Print the diagnosis to stdout; MlcliError, afterwards, if an engine cannot run."""
    from mlcli.doctor.threads import default_threads
    from mlcli.rendering.console import checked_format, progress_bar

    checked_format(request.output_format)
    threads = default_threads()
    set_thread_environment(threads.number)
    # These import numpy, which reads the thread count when it is loaded.
    from mlcli.doctor.diagnosis import diagnose, raise_if_unusable
    from mlcli.doctor.report import print_diagnosis

    with progress_bar("checking engines", quiet=request.quiet) as on_engine:
        diagnosis = diagnose(request, threads, on_engine)
    print_diagnosis(diagnosis, request.output_format)
    raise_if_unusable(diagnosis)
