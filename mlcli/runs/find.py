"""Which runs there are, and which one is meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import MlcliError, UsageError
from mlcli.records import RunRecord
from mlcli.runs.directory import CONFIG, METRICS, RunDirectory
from mlcli.text import first_line, printable

_N_SHOWN = 5  # ids in a message


def default_runs_directory() -> Path:
    """`MLCLI_RUNS_DIR`, else `runs` in the current directory."""
    return Path(os.environ.get("MLCLI_RUNS_DIR") or "runs")


def find_runs(runs_directory: Path) -> Iterator[RunDirectory]:
    """The run directories below, the newest first; those that are unfinished too."""
    try:
        names = sorted(os.listdir(runs_directory), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise MlcliError(f"{runs_directory}: cannot be listed: {first_line(error)}") from error
    for name in names:
        if os.path.isfile(runs_directory / name / CONFIG):
            yield RunDirectory(runs_directory / name)


def find_finished(runs_directory: Path, experiment_digest: str) -> tuple[RunDirectory, RunRecord] | None:
    """The newest finished run of exactly this experiment, or None."""
    for directory in find_runs(runs_directory):
        try:
            record = directory.read_record()
        except MlcliError:
            continue
        if record.status == "finished" and record.digests.get("experiment") == experiment_digest:
            return directory, record
    return None


def find_run(reference: str, runs_directory: Path) -> RunDirectory:
    """The run that is meant: a directory, a run id, a unique prefix of one, or `last`, the newest finished one.

    UsageError where nothing fits, with the nearest ids, and where several do, with all of them.
    """
    if reference == "last":
        return _newest_finished(runs_directory)
    path = Path(reference)
    if _is_run(path):
        return RunDirectory(path.resolve())
    if os.path.isdir(path):
        raise UsageError(f"{path}: not a run directory, it has no {CONFIG}")
    runs = list(find_runs(runs_directory))
    matches = [run for run in runs if run.run_id.startswith(reference)]
    exact = [run for run in matches if run.run_id == reference]
    if len(exact or matches) == 1:
        return (exact or matches)[0]
    ids = [run.run_id for run in matches or runs]
    raise UsageError(_ambiguous(reference, ids) if matches else _not_found(reference, runs_directory, ids))


def _is_run(path: Path) -> bool:
    # os.path has False for what pathlib raises an error at: a name that is too long, a folder that is closed.
    return os.path.isfile(path / CONFIG) or os.path.isfile(path / METRICS)


def _newest_finished(runs_directory: Path) -> RunDirectory:
    for directory in find_runs(runs_directory):
        try:
            if directory.read_record().status == "finished":
                return directory
        except MlcliError:
            continue
    raise UsageError(f"no finished run in {runs_directory}\n{_ELSEWHERE}")


_ELSEWHERE = "runs are kept elsewhere with --runs-dir or MLCLI_RUNS_DIR; mlcli train makes one"


def _ambiguous(reference: str, ids: list[str]) -> str:
    return f"run {reference!r} fits {len(ids)} runs: {_shown(ids)}\ngive more of the id"


def _not_found(reference: str, runs_directory: Path, ids: list[str]) -> str:
    if not ids:
        return f"no run {reference!r}: there are no runs in {runs_directory}\n{_ELSEWHERE}"
    near = difflib.get_close_matches(reference, ids, n=_N_SHOWN, cutoff=0.3)
    return f"no run {reference!r} in {runs_directory}\n{'nearest' if near else 'newest'}: {_shown(near or ids)}"


def _shown(ids: list[str]) -> str:
    more = f" and {len(ids) - _N_SHOWN} more" if len(ids) > _N_SHOWN else ""
    return ", ".join(map(printable, ids[:_N_SHOWN])) + more
