"""Find a run to resume, and check that resuming it gives a bit-identical result."""

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
from mlcli.runs.find import find_run, summaries
from mlcli.runs.lock import RunLock
from mlcli.runs.reader import read_config
from mlcli.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Resumable:
    """A run to resume. threads: the thread count it was started with; None where it ended before that was recorded."""

    directory: RunDirectory
    config: ExperimentConfig
    threads: int | None


def open_resumable(reference: str, runs_directory: Path) -> Resumable:
    """Return the run that a directory, a run id, a unique prefix of one, or `last` names, the newest unfinished one.

    Imports no numerical library. UsageError where no run matches, DataError for a directory that contains links, and
    for a configuration that cannot be read.
    """
    directory = _newest_unfinished(runs_directory) if reference == "last" else find_run(reference, runs_directory)
    _refuse_links(directory.path)
    config = read_config(directory.path)
    threads = directory.read_environment().get("threads")
    return Resumable(directory, config, threads if isinstance(threads, int) and 0 < threads <= MOST_THREADS else None)


def _newest_unfinished(runs_directory: Path) -> RunDirectory:
    for directory, found in summaries(runs_directory):
        # A damaged record does not hide the other runs.
        if not isinstance(found, MlcliError) and found.status != "finished":
            return directory
    raise UsageError(
        f"no unfinished run in {runs_directory}\nset the directory of the runs with --runs-dir or MLCLI_RUNS_DIR"
    )


def is_finished(directory: RunDirectory) -> bool:
    """Return whether the record says that the run is finished; DataError for a record that was altered."""
    return directory.has_record() and directory.read_record().status == "finished"


def _refuse_links(path: Path) -> None:
    """DataError for a link in the directory: resuming writes there, and must not write elsewhere."""
    checkpoints = path / CHECKPOINTS
    for entry in [checkpoints, *path.iterdir(), *(checkpoints.iterdir() if checkpoints.is_dir() else ())]:
        if entry.is_symlink():
            raise DataError(
                f"{escaped(str(entry))}: a link in the run directory; such a run cannot be resumed\nremove the link"
            )


def find_interrupted(config: ExperimentConfig, experiment_digest: str, runs_directory: Path) -> Path | None:
    """Return the newest interrupted run of exactly this experiment that has a checkpoint and that no process locks."""
    text = to_yaml(config).encode()
    for directory, summary in summaries(runs_directory):
        if isinstance(summary, MlcliError) or summary.status not in ("unfinished", "interrupted"):
            continue  # any other would end so again
        with contextlib.suppress(MlcliError, OSError):
            if directory.config_path.read_bytes() != text:
                continue
            found = CheckpointFolder(directory.path).find().checkpoint
            if found and found.run.digests.get("experiment") == experiment_digest:
                RunLock.acquire(directory.path).release()
                return directory.path
    return None


def check_same_experiment(checkpoint: Checkpoint, digests: Mapping[str, str], directory: RunDirectory) -> None:
    """DataError where configuration, data or split are not those of the checkpoint. digests: the present ones."""
    causes = {
        "config": f"{directory.config_path} has changed since the run started; start a new run for another experiment",
        "dataset": "the dataset has changed since the run started",
        "split": "the split of the dataset has changed since the run started",
    }
    for name, cause in causes.items():
        if checkpoint.run.digests.get(name) != digests[name]:
            raise DataError(f"run {directory.run_id} cannot be resumed: {cause}")


def check_same_data(fingerprint: str, directory: RunDirectory) -> None:
    """DataError where the dataset is not the one that a run without a checkpoint started with, if it got that far."""
    if directory.read_environment().get("dataset_fingerprint") not in (None, fingerprint):
        raise DataError(f"run {directory.run_id} cannot be resumed: the dataset has changed since the run started")


def restore_state(engine: Engine, state: EngineState) -> None:
    """Load the state of a checkpoint into a new engine; DataError for the state of another model or optimizer."""
    fresh = engine.state()
    if _layout(fresh.arrays) != _layout(state.arrays) or set(fresh.values) != set(state.values):
        raise DataError("the checkpoint holds the state of another model or optimizer")
    for name, value in fresh.values.items():
        if type(state.values[name]) is not type(value):
            raise DataError(f"the checkpoint holds {state.values[name]!r} as {name}, expected a {type(value).__name__}")
    engine.load_state(state)


def _layout(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.str) for name, array in arrays.items()}


def differences(directory: RunDirectory) -> Iterator[str]:
    """Yield a note for each package whose version has changed since the run started, so that results may differ."""
    environment = directory.read_environment()
    packages = environment.get("packages")
    before: dict[str, object] = {"mlcli": environment.get("mlcli")} | (packages if isinstance(packages, dict) else {})
    for name, now in {"mlcli": __version__, **package_versions()}.items():
        then = before.get(name)
        if then is not None and then != now:
            yield f"{name} was {then} when the run started and is {now} now: the result may not be bit-identical"


def add_resume_hint(
    error: BaseException, directory: RunDirectory, data_directory: Path | None, *, offline: bool
) -> None:
    """Add to an error that ended a run the command that resumes it, or after divergence the last good checkpoint."""
    try:
        found = CheckpointFolder(directory.path).find()
    except DataError:  # its folder was locked after the error
        return
    where = found.checkpoint.description if found.checkpoint else "from the beginning"
    if isinstance(error, DivergedError):
        good = f"the last good checkpoint is {found.path}, {where}"
        error.add_note(good if found.path else "the run has no checkpoint")
    elif found.checkpoint or not isinstance(error, Exception):
        command = ["mlcli", "train", "--resume", str(directory.path)]
        command += ["--data-dir", str(data_directory)] if data_directory else []
        command += ["--offline"] if offline else []
        error.add_note(f"to resume {where}: {shlex.join(command)}")
