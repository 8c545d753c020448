"""The options of `mlcli doctor`."""

from __future__ import annotations

from mlcli.cli import options
from mlcli.cli.options import command
from mlcli.doctor import DoctorRequest, run

doctor = command(
    """Show versions, devices, threads and folders, try every engine, and say what to do about each problem.

    Each engine trains one epoch on the irises. Exit code 1 if one of them cannot.

    Examples:
      mlcli doctor
      mlcli doctor --format json
    """,
    run,
    DoctorRequest,
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    output_format=options.Format,
    quiet=options.Quiet,
)
