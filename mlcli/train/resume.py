"""Which run is to go on, and whether it can go on to the same bits."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli import __version__
from mlcli.config.dump import to_yaml
from mlcli.config.schema import ExperimentConfig
from mlcli.config.values import MOST_THREADS
from mlcli.engines.contract import Engine
from mlcli.errors import DataError, DivergedError, MlcliError, UsageError
from mlcli.experiment.environment import package_versions
from mlcli.records import EngineState
from mlcli.runs.checkpoint import FOLDER as CHECKPOINTS
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run, find_runs
from mlcli.runs.lock import RunLock
from mlcli.runs.reader import read_config
from mlcli.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Resumable:
    """A run that was found. threads: those it ran with; None where it did not come so far."""

    directory: RunDirectory
    config: ExperimentConfig
    threads: int | None


def open_resumable(reference: str, runs_directory: Path) -> Resumable:
    """The run that is meant: a directory, a run id, a unique prefix of one, or `last`, the newest unfinished one.

    Imports no numerical library. UsageError where nothing fits, DataError for a directory with links, and for a
    configuration that cannot be read.
    """
    directory = _newest_unfinished(runs_directory) if reference == "last" else find_run(reference, runs_directory)
    _refuse_links(directory.path)
    config = read_config(directory.path)
    threads = directory.read_environment().get("threads")
    return Resumable(directory, config, threads if isinstance(threads, int) and 0 < threads <= MOST_THREADS else None)


def _newest_unfinished(runs_directory: Path) -> RunDirectory:
    for directory in find_runs(runs_directory):
        if not is_finished(directory):
            return directory
    raise UsageError(
        f"no unfinished run in {runs_directory}\nruns are kept elsewhere with --runs-dir or MLCLI_RUNS_DIR"
    )


def is_finished(directory: RunDirectory) -> bool:
    """Whether its record says so; one that cannot be read says nothing."""
    try:
        return directory.read_record().status == "finished"
    except MlcliError:
        return False


def _refuse_links(path: Path) -> None:
    """A run is written to when it goes on, and nothing of that may land elsewhere."""
    folders = [path, path / CHECKPOINTS]
    for entry in [path / CHECKPOINTS, *(entry for folder in folders if folder.is_dir() for entry in folder.iterdir())]:
        if entry.is_symlink():
            shown = escaped(str(entry))
            raise DataError(f"{shown}: a link in the run directory; such a run is not resumed\nremove the link")


def stopped_run(config: ExperimentConfig, experiment_digest: str, runs_directory: Path) -> Path | None:
    """The newest run of exactly this experiment that was stopped, has a checkpoint, and that no process holds."""
    text = to_yaml(config).encode()
    for directory in find_runs(runs_directory):
        with contextlib.suppress(MlcliError, OSError):
            if directory.config_path.read_bytes() != text or _has_ended(directory):
                continue
            found = CheckpointFolder(directory.path).find().checkpoint
            if found and found.run.digests.get("experiment") == experiment_digest:
                RunLock.acquire(directory.path).release()
                return directory.path
    return None


def _has_ended(directory: RunDirectory) -> bool:
    """By itself: a run that failed or diverged would do so again."""
    return directory.has_record() and directory.read_record().status != "interrupted"


def check_same_experiment(checkpoint: Checkpoint, digests: Mapping[str, str], directory: RunDirectory) -> None:
    """DataError where configuration or data are not those that the checkpoint was made with."""
    causes = {
        "config": f"{directory.config_path} was changed since; a changed experiment is a run of its own",
        "dataset": "the dataset is another one than when the run began",
        "split": "the dataset is split otherwise than when the run began",
    }
    for name, cause in causes.items():
        if checkpoint.run.digests.get(name) != digests[name]:
            raise DataError(f"run {directory.run_id} cannot go on: {cause}")


def restore_state(engine: Engine, state: EngineState) -> None:
    """Give an engine, as it was built, the state of a checkpoint; DataError for one of another form."""
    fresh = engine.state()
    if _form(fresh.arrays) != _form(state.arrays) or set(fresh.values) != set(state.values):
        raise DataError("the checkpoint holds the state of another model or optimizer")
    for name, value in fresh.values.items():
        if type(state.values[name]) is not type(value):
            raise DataError(f"the checkpoint holds {state.values[name]!r} as {name}")
    engine.load_state(state)


def _form(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.str) for name, array in arrays.items()}


def differences(directory: RunDirectory) -> Iterator[str]:
    """What computes otherwise than when the run began, in words: reasons for other bits."""
    environment = directory.read_environment()
    packages = environment.get("packages")
    before: dict[str, object] = {"mlcli": environment.get("mlcli")} | (packages if isinstance(packages, dict) else {})
    for name, now in {"mlcli": __version__, **package_versions()}.items():
        then = before.get(name)
        if then is not None and then != now:
            yield f"{name} was {then} when the run began and is {now} now: the result may differ in its last bits"


def say_what_next(error: BaseException, directory: RunDirectory, data_directory: Path | None, *, offline: bool) -> None:
    """Add to an error that ended a run what can be done with what the run left."""
    found = CheckpointFolder(directory.path).find()
    where = found.checkpoint.description if found.checkpoint else "from the beginning"
    if isinstance(error, DivergedError):
        kept = f"the last good checkpoint is {found.path}, {where}" if found.path else "it has no checkpoint yet"
        error.add_note(kept)
    elif found.checkpoint or not isinstance(error, Exception):
        words = ["mlcli", "train", "--resume", str(directory.path)]
        words += ["--data-dir", str(data_directory)] if data_directory else []
        words += ["--offline"] if offline else []
        error.add_note(f"to go on {where}: {shlex.join(words)}")
