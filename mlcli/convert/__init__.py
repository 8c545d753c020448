"""`mlcli convert`: write the model of a run in the format of another library, after verifying its scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlcli.experiment.threads import configure_threads
from mlcli.runs import DEFAULT_RUNS_DIR

DEFAULT_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ConvertRequest:
    """Which run to convert, where to write it, and how far its scores may differ from those of the run."""

    run: str  # a directory, a run id, a unique prefix of one, or "last"
    target: str  # a name in convert.formats.FORMATS
    output: Path
    tolerance: float = DEFAULT_TOLERANCE  # largest difference of a score, relative to the largest score of its sample
    force: bool = False  # overwrite an existing file
    threads: int | None = None  # None: as in the run
    runs_dir: Path = DEFAULT_RUNS_DIR
    data_dir: Path | None = None  # None: the default directory
    offline: bool = False  # never use the network
    output_format: str = "table"
    quiet: bool = False  # print no notes


def run(request: ConvertRequest) -> None:
    """Write the file and print the comparison and the Python code that loads the file.

    MlcliError, and no file, if the scores differ by more than the tolerance.
    """
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format, print_notes
    from mlcli.runs.find import find_run

    checked_format(request.output_format)
    stored = open_run(find_run(request.run, request.runs_dir))
    threads = configure_threads(stored.config.runtime.threads, request.threads)
    # These import numpy, which reads the thread count when it is loaded.
    from mlcli.convert.conversion import check_tolerance, convert, print_conversion

    conversion = convert(stored, replace(request, threads=threads))
    if not request.quiet:
        print_notes(conversion.notes)
    print_conversion(conversion, request.output_format)
    check_tolerance(conversion)
