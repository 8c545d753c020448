"""Fixtures for tests of hostile artifacts: a run from an untrusted source, and every use that can be made of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mlcli.batch_bench import BatchBenchRequest
from mlcli.batch_bench.measurement import prepare
from mlcli.batch_bench.records import WorkerSpec
from mlcli.batch_bench.source import plans_of
from mlcli.compare.comparison import compare_results
from mlcli.compare.receipt import comparability_report, facts_of
from mlcli.compare.report import print_comparison, print_receipt
from mlcli.compare.variants import find_results
from mlcli.config.experiment import load_experiment
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.errors import DataError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.initial_weights import read_source
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from mlcli.rendering.console import print_notes
from mlcli.runs import RunQuery
from mlcli.runs.find import find_run, inspect_run, list_runs
from mlcli.runs.report import print_one_run, print_run_list

SOURCE = "20260101T000000Z_iris"


def opened(run):
    return open_run(find_run(str(run), run.parent))


def lists(run, scratch, formats):
    found = list_runs(run.parent, RunQuery())
    for output_format in formats:
        print_run_list(found.runs, "runs", output_format)
    print_notes(found.notes(run.parent))
    if found.issues:
        raise DataError("\n".join(found.issues))


def shows(run, scratch, formats):
    directory = find_run(str(run), run.parent)
    record, history = inspect_run(directory)
    for output_format in formats:
        print_one_run(record, directory.path, history, output_format)


def evaluates(run, scratch, formats):
    evaluate(opened(run), EvaluateRequest("", threads=1))


def predicts(run, scratch, formats):
    request = PredictRequest(str(run), scratch / "x.npy", scratch / "labels.csv", force=True, threads=1)
    predict(opened(run), request, lambda n_done, n_samples: None)


def converts(run, scratch, formats):
    convert(opened(run), ConvertRequest("", "sklearn", scratch / "model.skops", force=True))


def compares(run, scratch, formats):
    others = [str(run.parent / SOURCE), str(run)]
    comparison = compare_results(find_results(others, run.parent), allow_different_data=True)
    for output_format in formats:
        print_comparison(comparison, output_format)


def makes_a_receipt(run, scratch, formats):
    receipt = comparability_report([facts_of(opened(run))] * 2)
    for output_format in formats:
        print_receipt(receipt, output_format)


def trains_from_its_weights(run, scratch, formats):
    flags = {"backend": "torch", "dataset.name": "iris", "model.name": "logistic", "init_from.run": str(run)}
    read_source(make_plan(load_experiment(None, flags=flags, environ={})), run.parent)


def benches(run, scratch, formats):
    plans, path = plans_of(BatchBenchRequest(str(run), runs_dir=run.parent))
    for plan in plans.values():
        prepare(WorkerSpec(plan, path, 1, offline=True))


# The uses by name. All but the first two open the run and verify its files.
USES = {
    "list": lists,
    "show": shows,
    "evaluate": evaluates,
    "predict": predicts,
    "convert": converts,
    "compare": compares,
    "receipt": makes_a_receipt,
    "train": trains_from_its_weights,
    "bench": benches,
}


@dataclass(frozen=True)
class TamperedRun:
    """A run directory, next to an intact one, that a test modifies.

    outside: a folder that no use may read or change. scratch: a folder for the files that uses read and write.
    """

    path: Path
    outside: Path
    scratch: Path
    formats: tuple[str, ...] = ("table",)

    @property
    def canary(self):
        """Return the path of a folder that exists only if code from the run was executed."""
        return self.path.parent.parent / "canary"

    def edit(self, name, change):
        """Change a JSON file."""
        document = json.loads((self.path / name).read_text())
        change(document)
        (self.path / name).write_text(json.dumps(document))

    def remake_manifest(self, without=()):
        """Write a manifest with the checksums of the present files, except for those named."""
        names = [name for name in sorted(os.listdir(self.path)) if name not in ("manifest.json", *without)]
        files = [self.path / name for name in names if (self.path / name).is_file()]
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        (self.path / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))

    def refuses(self, use):
        """Return whether a use is refused; check that its message has one to three lines without control characters."""
        try:
            USES[use](self.path, self.scratch, self.formats)
        except (DataError, UsageError) as error:
            lines = str(error).splitlines()
        else:
            return False
        assert all(line.isprintable() for line in lines)
        assert use == "list" or 1 <= len(lines) <= 3
        assert max(map(len, lines)) < 1500
        return True

    def check_every_use(self, refusing, *, new_manifest=True):
        """Try every use of the run. Those in `refusing` must refuse it, and none may create or change another file.

        new_manifest: first write a manifest that matches the changed files.
        """
        if new_manifest:
            self.remake_manifest()
        before = self._surroundings()
        refused = {use for use in USES if self.refuses(use)}
        assert self._surroundings() == before
        assert not self.canary.exists()
        assert refused >= set(refusing), f"not refused by {set(refusing) - refused}"

    def _surroundings(self):
        outside = {path: path.read_bytes() if path.is_file() else None for path in self.outside.rglob("*")}
        return outside, sorted(os.listdir(self.canary.parent)), sorted(os.listdir(self.path.parent))


@pytest.fixture
def tampered_run(stored_runs, iris_run, tmp_path, monkeypatch):
    """A copy of the iris run that a test may modify, next to an intact copy."""
    for name in (SOURCE, "tampered"):
        shutil.copytree(stored_runs / SOURCE, tmp_path / "runs" / name)
    for name in ("outside", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "secret").write_text("TOP SECRET")
    np.save(tmp_path / "scratch" / "x.npy", iris_run.load_dataset().test.x)
    monkeypatch.chdir(tmp_path)
    return TamperedRun(tmp_path / "runs" / "tampered", tmp_path / "outside", tmp_path / "scratch")
