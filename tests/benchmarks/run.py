"""`make bench`: mlcli against hand-written code for the same work, side by side, as ratios.

    python tests/benchmarks/run.py [--only ROW ...] [--repeats N] [--json FILE] [--data-dir DIR] [--threads N]

Timing never decides between pass and fail: the exit code is 0 unless a contestant broke. Rows that miss their figure
say so. Nothing heavy is imported here, because the memory of this process is counted into that of its children.
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
from measure import HERE, ContestantError, Place, Samples, imported_packages, measure
from rows import IMPORTS, ROW_NAMES, Family, ImportsRow, chosen_families, is_wanted
from tables import Conditions, document, print_contestants, print_rows
from verdicts import Result, judged

from mlcli.experiment.threads import available_cores, set_thread_environment

_BUSY_SHARE = 0.25  # of the cores; as much other work is enough to see in the ratios
_FEWEST_ROUNDS = 3


def main() -> int:
    arguments = _arguments()
    conditions = _settled(arguments)
    measured: dict[str, dict[str, Samples]] = {}
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="mlcli-bench-") as folder:
        place = _place(Path(folder), arguments.data_dir, arguments.threads)
        for family in chosen_families(arguments.only):
            if family.needs_fashion and place.data is None:
                results += [Result(row.name, row.work, verdict="no Fashion-MNIST") for row in family.rows]
            else:
                measured[family.name] = samples = _measured(family, place, arguments.repeats)
                results += [judged(row, samples) for row in family.rows]
        results += [_imports(row, place) for row in IMPORTS if is_wanted(row.name, arguments.only)]
    print_rows(results, conditions)
    print_contestants(measured)
    if arguments.json:
        arguments.json.write_text(json.dumps(document(results, measured, conditions), indent=2) + "\n")
    return 1 if any(result.is_broken for result in results) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", default=[], help=f"rows whose name begins so: {', '.join(ROW_NAMES)}"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds that count; without it, 5 to 15 by row")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where Fashion-MNIST is")
    parser.add_argument("--threads", type=int, default=available_cores(), metavar="N", help="CPU threads of both sides")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor seconds, not the wall clock's; with --threads 1 they stay steady on a busy machine",
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only if not any(row.startswith(name) for row in ROW_NAMES)]
    if unknown:
        parser.error(f"no row begins with {unknown[0]}; there are {', '.join(ROW_NAMES)}")
    return arguments


def _settled(arguments: argparse.Namespace) -> Conditions:
    """Set what every contestant inherits, and warn of what makes ratios unsteady."""
    set_thread_environment(arguments.threads)
    if arguments.cpu_time:
        os.environ["BENCH_CPU_TIME"] = "1"
    conditions = Conditions(available_cores(), arguments.threads, os.getloadavg()[0], arguments.cpu_time)
    if conditions.load_average > _BUSY_SHARE * conditions.cores:
        _say(f"load average {conditions.load_average:.1f} on {conditions.cores} cores: the machine is busy")
    if arguments.repeats and arguments.repeats < _FEWEST_ROUNDS:
        _say(f"--repeats {arguments.repeats}: a median of fewer than {_FEWEST_ROUNDS} rounds says little")
    return conditions


def _place(work: Path, data_dir: Path | None, threads: int) -> Place:
    subprocess.run([sys.executable, HERE / "bare_application.py", work], check=True)
    source = find_data_dir(data_dir)
    if source is None:
        _say("Fashion-MNIST is not on this machine: mlcli data fetch fashion, or name its folder with --data-dir")
    return Place(work, working_copy(source, work / "data") if source else None, threads)


def _measured(family: Family, place: Place, repeats: int | None) -> dict[str, Samples]:
    def say(text: str) -> None:
        _say(f"{family.name}: {text}")

    return measure(family.contestants, place, repeats or family.repeats, say)


def _imports(row: ImportsRow, place: Place) -> Result:
    extra = ("--runs-dir", str(place.work / "runs")) if row.arguments[0] == "train" else ()
    work = f"{row.work}: loads none of {', '.join(row.forbidden)}"
    try:
        loaded = imported_packages([*row.arguments, *extra]) & set(row.forbidden)
    except ContestantError as error:
        return Result(row.name, work, verdict=f"failed: {error}", is_broken=True)
    return Result(row.name, work, verdict=f"MISSED: loads {', '.join(sorted(loaded))}" if loaded else "reached")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
