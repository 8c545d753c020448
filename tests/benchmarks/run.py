"""Compare the speed and memory of mlcli with hand-written code for the same work (`make bench`).

    python tests/benchmarks/run.py [--only ROW ...] [--repeats N] [--json FILE] [--data-dir DIR] [--threads N]

The table shows rows that miss their target, but timing does not affect the exit code: it is 1 only if a contestant
failed. This module imports nothing large, because the operating system adds the memory of this process to the measured
memory of its children.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fashion_files import find_data_dir, working_copy
from measure import HERE, ContestantError, Samples, Workspace, imported_packages, measure
from rows import IMPORTS, ROW_NAMES, Family, ImportsRow, chosen_families, is_wanted
from tables import Conditions, document, print_contestants, print_rows
from verdicts import Result, result_of

from mlcli.experiment.threads import available_cores, set_thread_environment

_BUSY_FRACTION = 0.25  # of the cores; this much background load is visible in the ratios
_FEWEST_ROUNDS = 3


def main() -> int:
    arguments = _arguments()
    conditions = _prepare(arguments)
    measured: dict[str, dict[str, Samples]] = {}
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="mlcli-bench-") as folder:
        workspace = _workspace(Path(folder), arguments.data_dir, arguments.threads)
        for family in chosen_families(arguments.only):
            if family.needs_fashion and workspace.data is None:
                results += [
                    Result(row.name, row.work, verdict="skipped: Fashion-MNIST not found") for row in family.rows
                ]
            else:
                measured[family.name] = samples = _measure_family(family, workspace, arguments.repeats)
                results += [result_of(row, samples) for row in family.rows]
        results += [_check_imports(row, workspace) for row in IMPORTS if is_wanted(row.name, arguments.only)]
    print_rows(results, conditions)
    print_contestants(measured)
    if arguments.json:
        arguments.json.write_text(json.dumps(document(results, measured, conditions), indent=2) + "\n")
    return 1 if any(result.is_broken for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ROW",
        default=[],
        help=f"measure only rows with these names or prefixes: {', '.join(ROW_NAMES)}",
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="number of measured rounds; default: 5 to 15, depending on the row"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements of every round to this file")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="data directory that contains Fashion-MNIST")
    parser.add_argument(
        "--threads", type=int, default=available_cores(), metavar="N", help="number of CPU threads for all contestants"
    )
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure processor time instead of wall-clock time; steadier on a busy machine with --threads 1",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only if not any(row.startswith(name) for row in ROW_NAMES)]
    if unknown:
        parser.error(f"no row has the name or prefix {unknown[0]!r}; rows: {', '.join(ROW_NAMES)}")
    return arguments


def _prepare(arguments: argparse.Namespace) -> Conditions:
    """Set the environment that all contestants inherit, and warn about conditions that make the ratios unreliable."""
    set_thread_environment(arguments.threads)
    if arguments.cpu_time:
        os.environ["BENCH_CPU_TIME"] = "1"
    conditions = Conditions(available_cores(), arguments.threads, os.getloadavg()[0], arguments.cpu_time)
    if conditions.load_average > _BUSY_FRACTION * conditions.cores:
        _log(f"load average {conditions.load_average:.1f} on {conditions.cores} cores: the machine is busy")
    if arguments.repeats and arguments.repeats < _FEWEST_ROUNDS:
        _log(f"--repeats {arguments.repeats}: a median of fewer than {_FEWEST_ROUNDS} rounds is not reliable")
    return conditions


def _workspace(work: Path, data_dir: Path | None, threads: int) -> Workspace:
    subprocess.run([sys.executable, HERE / "bare_application.py", work], check=True)
    source = find_data_dir(data_dir)
    if source is None:
        _log("Fashion-MNIST was not found: run `mlcli data fetch fashion`, or give its data directory with --data-dir")
    return Workspace(work, working_copy(source, work / "data") if source else None, threads)


def _measure_family(family: Family, workspace: Workspace, repeats: int | None) -> dict[str, Samples]:
    def log(text: str) -> None:
        _log(f"{family.name}: {text}")

    if family.name == "tables":
        log("writing a table")
        subprocess.run([sys.executable, HERE / "table_files.py", workspace.work], check=True)

    return measure(family.contestants, workspace, repeats or family.repeats, log)


def _check_imports(row: ImportsRow, workspace: Workspace) -> Result:
    extra = ("--runs-dir", str(workspace.work / "runs")) if row.arguments[0] == "train" else ()
    work = f"{row.work}: imports none of {', '.join(row.forbidden)}"
    try:
        loaded = imported_packages([*row.arguments, *extra]) & set(row.forbidden)
    except ContestantError as error:
        return Result(row.name, work, verdict=f"failed: {error}", is_broken=True)
    return Result(row.name, work, verdict=f"MISSED: imports {', '.join(sorted(loaded))}" if loaded else "reached")


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
