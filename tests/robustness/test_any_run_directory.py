"""Commands work on any damaged run directory, or report what is wrong with it, and change nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcli.compare.comparison import compare_results
from mlcli.compare.receipt import comparability_report, facts_of
from mlcli.compare.report import print_comparison, print_receipt
from mlcli.compare.variants import find_results
from mlcli.errors import MlcliError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.evaluate.plots import overfitting
from mlcli.evaluate.report import print_evaluation
from mlcli.experiment.stored_run import open_run
from mlcli.rendering.console import print_notes
from mlcli.runs import SORT_KEYS, RunQuery
from mlcli.runs.find import find_run, inspect_run, list_runs
from mlcli.runs.report import print_one_run, print_run_list

QUICK = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
GOOD, OTHER, UNFINISHED = "20260101T000000Z_digits", "20260101T000001Z_iris", "20260101T000002Z_unfinished"
RUNS = (OTHER, GOOD, UNFINISHED)
FORMATS = ("table", "json", "csv", "markdown")
FILES = (
    "metrics.json", "config.yaml", "history.csv", "environment.json", "preprocessing.json", "predictions.npz",
    "weights.safetensors", "manifest.json", "log.txt",
)  # fmt: skip


@pytest.fixture(scope="module")
def templates(stored_runs, tmp_path_factory):
    """A folder with two finished runs and one that was killed after two epochs."""
    folder = tmp_path_factory.mktemp("templates")
    shutil.copytree(stored_runs / "20260101T000000Z_digits", folder / GOOD)
    shutil.copytree(stored_runs / "20260101T000000Z_iris", folder / OTHER)
    shutil.copytree(folder / GOOD, folder / UNFINISHED)
    for name in ("metrics.json", "manifest.json", "predictions.npz", "weights.safetensors", "log.txt"):
        (folder / UNFINISHED / name).unlink()
    history = (folder / UNFINISHED / "history.csv").read_bytes().splitlines(keepends=True)
    (folder / UNFINISHED / "history.csv").write_bytes(b"".join(history[:3]) + history[3][:9])
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "runs"


LARGE = [2**31, 2**63, -(2**63) - 1, 10**400, 1e308, 1e-308]
# Engines make the processor flush denormal numbers to zero, and then hypothesis cannot generate any.
NUMBERS = st.integers(-2, 2) | st.integers() | st.floats(allow_subnormal=False) | st.sampled_from(LARGE)
TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["finished", "nan", "1", "a\nb", "\x1b[31m", "|", "[red]", "../x", "\ud800"])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=2),
    max_leaves=5,
)
PLACES = st.floats(0, 1, exclude_max=True, allow_subnormal=False)  # relative position in a file or among its values
RUN = st.sampled_from(RUNS)
FILE = st.sampled_from(FILES)
CHANGES = st.one_of(
    st.tuples(st.just("delete"), RUN, FILE),
    st.tuples(st.just("truncate"), RUN, FILE, PLACES),
    st.tuples(st.just("flip"), RUN, FILE, PLACES, st.integers(1, 255)),
    st.tuples(st.just("empty"), RUN, FILE),
    st.tuples(st.just("folder"), RUN, FILE),
    st.tuples(st.just("swap"), RUN, FILE, RUN, FILE),
    st.tuples(st.just("swap"), RUN, FILE, RUN),
    st.tuples(st.just("status"), RUN, st.sampled_from(["finished", "failed", "diverged", "interrupted", "unfinished"])),
    st.tuples(st.just("value"), RUN, st.sampled_from(FILES[:1]), PLACES, VALUES),
    st.tuples(st.just("value"), RUN, st.sampled_from(FILES), PLACES, VALUES),
    st.tuples(st.just("cell"), RUN, PLACES, NUMBERS.map(str) | TEXTS),
)


def delete(runs, run, name):
    path = runs / run / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)


def truncate(runs, run, name, place):
    path = runs / run / name
    if path.is_file():
        data = path.read_bytes()
        path.write_bytes(data[: int(place * len(data))])


def flip(runs, run, name, place, bits):
    path = runs / run / name
    data = bytearray(path.read_bytes() if path.is_file() else b"")
    if data:
        data[int(place * len(data))] ^= bits
        path.write_bytes(data)


def empty(runs, run, name):
    delete(runs, run, name)
    (runs / run / name).touch()


def folder(runs, run, name):
    delete(runs, run, name)
    (runs / run / name).mkdir()


def swap(runs, run, name, other, other_name=None):
    first, second = runs / run / name, runs / other / (other_name or name)
    if first.is_file() and second.is_file() and first != second:
        data = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(data)


def status(runs, run, status):
    value(runs, run, "metrics.json", None, status)


def value(runs, run, name, place, new):
    """Replace a value of a JSON document; without a place, replace the status."""
    path = runs / run / name
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return
    if place is None and isinstance(document, dict):
        document["status"] = new
    elif place is not None:
        slots = [(document, key) for key in _keys(document)]
        for owner, key in slots:
            slots += [(owner[key], inner) for inner in _keys(owner[key])]
        if slots:
            owner, key = slots[int(place * len(slots))]
            owner[key] = new
    path.write_text(json.dumps(document), encoding="utf-8")


def _keys(document):
    return (
        list(document)
        if isinstance(document, dict)
        else list(range(len(document) if isinstance(document, list) else 0))
    )


def cell(runs, run, place, new):
    """Replace a cell of the history by a text."""
    path = runs / run / "history.csv"
    cells = path.read_bytes().split(b",") if path.is_file() else []
    if cells:
        cells[int(place * len(cells))] = new.encode("utf-8", "surrogatepass")
        path.write_bytes(b",".join(cells))


DO = {
    "delete": delete, "truncate": truncate, "flip": flip, "empty": empty, "folder": folder, "swap": swap,
    "status": status, "value": value, "cell": cell,
}  # fmt: skip


def remake_manifest(run):
    files = sorted(path for path in run.iterdir() if path.is_file() and path.name != "manifest.json")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    if not (run / "manifest.json").is_dir():
        (run / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))


@dataclass(frozen=True)
class Way:
    """The options of the commands: output format, sort key, and whether different data are allowed."""

    output_format: str
    sort: str
    allow_different_data: bool


def lists(runs, way):
    found = list_runs(runs, RunQuery(sort=way.sort))
    assert all(len(issue.splitlines()) == 1 for issue in found.issues)
    print_run_list(found.runs, "runs", way.output_format)
    print_notes(found.issues)


def shows(runs, way, run):
    directory = find_run(str(runs / run), runs)
    record, history = inspect_run(directory)
    overfitting(history)
    print_one_run(record, directory.path, history, way.output_format)


def evaluates(runs, way, run):
    result = evaluate(
        open_run(find_run(run, runs)), EvaluateRequest("", threads=1, backend="sklearn", n_misclassified=3)
    )
    print_evaluation(result.evaluation, way.output_format)


def makes_a_receipt(runs, way):
    print_receipt(
        comparability_report([facts_of(open_run(find_run(run, runs))) for run in (OTHER, GOOD)]), way.output_format
    )


def compares(runs, way, *references):
    comparison = compare_results(find_results(references, runs), allow_different_data=way.allow_different_data)
    print_comparison(comparison, way.output_format)


def is_done(use, *arguments):
    """Return whether a use succeeded; check that its output or error message contains no control characters."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            use(*arguments)
    except MlcliError as error:
        text, done = str(error), False
        assert 1 <= len(text.splitlines()) <= 3
    else:
        text, done = printed.getvalue(), True
    assert [character for character in text if not character.isprintable() and character != "\n"] == []
    return done


def uses_of(runs, way):
    """Try every use of run directories, and return for each whether it succeeded."""
    of_one = [is_done(use, runs, way, run) for use in (shows, evaluates) for run in RUNS]
    of_several = [is_done(compares, runs, way, *references) for references in (RUNS, ("2026*",), ("last", GOOD))]
    return [is_done(lists, runs, way), *of_one, is_done(makes_a_receipt, runs, way), *of_several]


def test_every_use_works_on_intact_directories(templates):
    """Only the evaluation of the unfinished run fails."""
    for output_format in FORMATS:
        assert uses_of(templates, Way(output_format, "created", True)).count(False) == 1


WAYS = st.builds(Way, st.sampled_from(FORMATS), st.sampled_from(sorted(SORT_KEYS)), st.booleans())


@QUICK
@given(changes=st.lists(CHANGES, min_size=1, max_size=3), vouched=st.booleans(), way=WAYS)
def test_every_use_works_or_reports_what_is_wrong(templates, runs, changes, vouched, way):
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(templates, runs)
    for kind, *arguments in changes:
        DO[kind](runs, *arguments)
    for run in RUNS if vouched else ():
        remake_manifest(runs / run)
    assert is_done(lists, runs, way)
    uses_of(runs, way)
