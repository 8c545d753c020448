"""Find runs in a directory: all of them, the one that a reference names, or a finished one of an experiment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import MlcliError, UsageError
from mlcli.records import RunRecord
from mlcli.runs.directory import CONFIG, METRICS, RunDirectory
from mlcli.text import first_line, listed, printable

_N_SHOWN = 5  # ids in a message
_ADVICE = "choose another directory with --runs-dir or MLCLI_RUNS_DIR; mlcli train creates a run"


def default_runs_directory() -> Path:
    """Return `MLCLI_RUNS_DIR`, else `runs` in the current directory."""
    return Path(os.environ.get("MLCLI_RUNS_DIR") or "runs")


def find_runs(runs_directory: Path) -> Iterator[RunDirectory]:
    """Yield the runs in a directory, the newest first, unfinished ones included."""
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
    """Return the newest finished run of exactly this experiment, or None."""
    for directory, record in _finished_runs(runs_directory):
        if record.digests.get("experiment") == experiment_digest:
            return directory, record
    return None


def _finished_runs(runs_directory: Path) -> Iterator[tuple[RunDirectory, RunRecord]]:
    """The finished runs whose record can be read, the newest first."""
    for directory in find_runs(runs_directory):
        try:
            record = directory.read_record()
        except MlcliError:
            continue
        if record.status == "finished":
            yield directory, record


def find_run(reference: str, runs_directory: Path) -> RunDirectory:
    """Return the run that a reference names: a directory, a run id, a unique prefix of one, or `last`.

    `last` is the newest finished run. UsageError, with the nearest ids, if no run matches, and with the matching ids
    if several do.
    """
    if reference == "last":
        newest = next(_finished_runs(runs_directory), None)
        if newest is None:
            raise UsageError(f"no finished run in {runs_directory}\n{_ADVICE}")
        return newest[0]
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
    # os.path returns False where pathlib raises: for a name that is too long, a folder that cannot be entered.
    return os.path.isfile(path / CONFIG) or os.path.isfile(path / METRICS)


def _ambiguous(reference: str, ids: list[str]) -> str:
    return f"run {reference!r} matches {len(ids)} runs: {_shown(ids)}\ngive more characters of the id"


def _not_found(reference: str, runs_directory: Path, ids: list[str]) -> str:
    if not ids:
        return f"no run {reference!r}: no runs in {runs_directory}\n{_ADVICE}"
    near = difflib.get_close_matches(reference, ids, n=_N_SHOWN, cutoff=0.3)
    return f"no run {reference!r} in {runs_directory}\n{'nearest' if near else 'newest'}: {_shown(near or ids)}"


def _shown(ids: list[str]) -> str:
    return listed([*map(printable, ids)], _N_SHOWN)
