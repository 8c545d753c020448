"""The readers of run directories. Each reader gets the path of a damaged run, which is stored next to an intact run.

Its second argument is a number that selects the sort key and the output format: one combination per input is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np

from mlcli.compare.receipt import comparability_report, facts_of
from mlcli.compare.records import RunFacts
from mlcli.config.experiment import load_experiment
from mlcli.data.load import load_dataset
from mlcli.engines.registry import build_engine
from mlcli.experiment.plan import Plan, engine_spec, make_plan
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.records import Dataset
from mlcli.runs import SORT_KEYS, RunQuery
from mlcli.runs.checkpoint import CheckpointFolder
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import describe_run, find_finished, find_run, list_runs
from mlcli.runs.report import print_one_run, print_run_list
from mlcli.train.checkpointing import CheckpointEvery
from mlcli.train.epochs import EpochLoop
from mlcli.train.resume import differences, open_resumable, restore_state
from mlcli.train.run_progress import RunProgress

INTACT = "intact"
_FORMATS = ("table", "json", "csv", "markdown")
_MOST_VALUES = 100_000  # in a sample of the shape that the run requires

Reader = Callable[[Path, int], object]


def _show(path: Path, number: int) -> None:
    record = describe_run(RunDirectory(path))
    print_one_run(record, path, RunDirectory(path).read_history(), _FORMATS[number % len(_FORMATS)])


def _list(path: Path, number: int) -> None:
    query = RunQuery(backend="sklearn", name="*", sort=SORT_KEYS[number % len(SORT_KEYS)])
    found = list_runs(path.parent, query)
    print_run_list(found.runs, "runs", _FORMATS[number % len(_FORMATS)])


def _find(path: Path, number: int) -> None:
    find_run("last", path.parent)
    find_finished(path.parent, "no such digest")


def _open(path: Path, number: int = 0) -> StoredRun:
    return open_run(find_run(path.name, path.parent))


def _history(path: Path, number: int) -> None:
    _open(path).files.history()


def _predictions(path: Path, number: int) -> None:
    _open(path).files.predictions()


def _receipt(path: Path, number: int) -> None:
    comparability_report([_intact_facts(path.parent), facts_of(_open(path))])


@cache
def _intact_facts(runs_directory: Path) -> RunFacts:
    return facts_of(open_run(find_run(INTACT, runs_directory)))


def _predict(path: Path, number: int) -> None:
    """Predict samples of the shape that the run requires, with the engine of the run."""
    run = _open(path)
    engine = run.build_engine("sklearn", threads=1)
    shape = run.preprocessing.input_shape
    if math.prod(shape) <= _MOST_VALUES:
        engine.predict(np.ones((2, *shape), dtype=np.float32), batch_size=2)


def _open_resumable(path: Path, number: int) -> None:
    """Read the parts of a run that `mlcli resume` reads before it loads the experiment."""
    found = open_resumable(str(path), path.parent)
    CheckpointFolder(found.directory.path).find()
    list(differences(found.directory))


def _resume_training(path: Path, number: int) -> None:
    """Resume training for one epoch."""
    checkpoint = CheckpointFolder(path).find().checkpoint
    if checkpoint is not None:
        plan, dataset = _experiment(path)
        engine = build_engine(plan.backend, engine_spec(plan, dataset, 1), checkpoint.weights)
        restore_state(engine, checkpoint.engine)
        engine.place(dataset.train.x, dataset.train.y)
        progress = RunProgress(plan, 1)
        progress.restore(checkpoint)
        loop = EpochLoop(engine, dataset, progress, CheckpointFolder(path), CheckpointEvery("never"))
        loop.restore(checkpoint)
        next(loop.run(), None)


@cache
def _experiment(path: Path) -> tuple[Plan, Dataset]:
    """Return the plan and dataset of the real run that has checkpoints."""
    plan = make_plan(load_experiment(RunDirectory(path).config_path, environ={}))
    return plan, load_dataset(plan.config.dataset)


# Map the files of a run to their readers, for runs with and without a record. Keys are file name patterns.
# A new kind of file that occurs in one of the real runs needs a row here.
_READERS_OF_FINISHED: Mapping[str, tuple[Reader, ...]] = {
    "config.yaml": (_open, _receipt, _predict),
    "environment.json": (_receipt,),
    "estimator.skops": (_predict,),
    "history.csv": (_history,),
    "manifest.json": (_open,),
    "metrics.json": (_show, _list, _find, _receipt),
    "predictions.npz": (_predictions,),
    "preprocessing.json": (_receipt, _predict),
    "weights.safetensors": (_predict,),
}
_READERS_OF_UNFINISHED: Mapping[str, tuple[Reader, ...]] = {
    "config.yaml": (_show, _list, _open_resumable),
    "environment.json": (_show, _open_resumable),
    "history.csv": (_show, _list),
    "checkpoint/*": (_open_resumable, _resume_training),
}


def readers_of(file: str, *, has_record: bool) -> tuple[Reader, ...]:
    """Return the readers of a file, given by its path in the run; empty for a file that is never read."""
    table = _READERS_OF_FINISHED if has_record else _READERS_OF_UNFINISHED
    return next((readers for pattern, readers in table.items() if fnmatchcase(file, pattern)), ())
