"""Hostile stored estimators: untrusted types and unsafe structures are rejected."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from numpy.lib import format as npy_format
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlcli import untrusted
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.engines.sklearn.stored import load_estimator
from mlcli.errors import DataError, MlcliError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.stored_run import open_run
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 3
STRANGER = "a_stranger_in_the_folder"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a module that creates a file when it is imported."""
    (tmp_path / f"{STRANGER}.py").write_text("import os\nos.mkdir('canary')\nclass Thing: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(stored_runs, folder):
    """Replace the forest of a run by another estimator, with a matching manifest, and open the run."""
    shutil.copytree(stored_runs / "20260101T000000Z_forest", folder / "run")

    def store(data):
        directory = RunDirectory(folder / "run")
        directory.write_estimator(data)
        directory.finish(directory.read_record())
        return open_run(find_run(str(folder / "run"), folder))

    return store


def archive(schema, compression=zipfile.ZIP_STORED, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def node(loader, module, name, **rest):
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **rest}


def text(value):
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def sequence(kind, *items):
    return node(f"{kind.capitalize()}Node", "builtins", kind, content=list(items))


def mapping(**items):
    keys = sequence("list", *(node("TypeNode", "builtins", "str") for _ in items))
    return node("DictNode", "builtins", "dict", content=items, key_types=keys)


SYSTEM = node("TypeNode", "os", "system")
FOREST = "sklearn.ensemble._forest", "RandomForestClassifier"
COMMAND = sequence("tuple", text("mkdir canary"))
ATTACKS = {
    "a function of the system": SYSTEM,
    "a function, as a function": node("FunctionNode", "os", "system", content="system"),
    "an old function": node("FunctionNode", "os", "system", content={"module_path": "os", "function": "system"}),
    "a function that is called on creation": node("ConstructorFromReduceNode", "os", "system", content=COMMAND),
    "a process that is started on creation": node("ConstructorFromReduceNode", "subprocess", "Popen", content=COMMAND),
    "a process as an object": node("ObjectNode", "subprocess", "Popen", content=mapping(args=text("mkdir canary"))),
    "a function with its arguments": node(
        "PartialNode", "functools", "partial",
        content={"func": SYSTEM, "args": COMMAND, "kwds": mapping(), "namespace": mapping()},
    ),
    "a method by name": node("OperatorFuncNode", "operator", "methodcaller", attrs=COMMAND),
    "an operator that does not exist": node("OperatorFuncNode", "os", "system", attrs=COMMAND),
    "a method of a trusted object": node(
        "MethodNode", *FOREST,
        content={"func": "__init__", "obj": node("ObjectNode", *FOREST, content=mapping())},
    ),
    "a method of an untrusted object": node(
        "MethodNode", *FOREST, content={"func": "system", "obj": node("TypeNode", "builtins", "os")}
    ),
    "a function as default factory": node(
        "DefaultDictNode", "collections", "defaultdict", content={"main": mapping(), "default_factory": SYSTEM}
    ),
    "a function inside a trusted object": node("ObjectNode", *FOREST, content=mapping(estimator=SYSTEM)),
    "a function as type of keys": node(
        "DictNode", "builtins", "dict", content={"mkdir canary": text("")}, key_types=sequence("list", SYSTEM)
    ),
    "a function as list": node("ListNode", "os", "system", content=[text("mkdir canary")]),
    "a function as array": node("NdArrayNode", "os", "system", type="numpy", file="x.npy"),
    "an unknown module": node("ObjectNode", STRANGER, "Thing", content=mapping()),
    "an unknown module, as a type": node("TypeNode", STRANGER, "Thing"),
    "an unknown module, by reduction": node(
        "ConstructorFromReduceNode", STRANGER, "Thing", content=sequence("tuple")
    ),
    "eval": node("TypeNode", "builtins", "eval"),
    "a name with terminal escapes": node("TypeNode", "\x1b]0;owned\x07", "Thing"),
}  # fmt: skip


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_untrusted_types_are_rejected_before_anything_is_created_or_imported(stored, folder, attack, protocol):
    data = archive(attack | {"protocol": protocol, "_skops_version": "0.16"}, **{"x.npy": b""})
    run = stored(data)
    for use in (
        lambda: load_estimator(data),
        lambda: evaluate(run, EvaluateRequest("", threads=1)),
        lambda: convert(run, ConvertRequest("", "sklearn", folder / "model.skops")),
    ):
        with pytest.raises(DataError, match=r"not trusted|cannot be read") as caught:
            use()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
    assert STRANGER not in sys.modules
    assert not (folder / "canary").exists()
    assert not (folder / "model.skops").exists()


def forest():
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


def with_attributes(**attributes):
    estimator = forest()
    vars(estimator).update(attributes)
    return estimator


def without(*names):
    estimator = forest()
    for name in names:
        delattr(estimator, name)
    return estimator


MALFORMED = {
    "no trees": with_attributes(estimators_=[]),
    "texts as trees": with_attributes(estimators_=["a", "b"]),
    "other estimators as trees": with_attributes(estimators_=[LogisticRegression().fit(X, Y)]),
    "a tree instead of a list of trees": with_attributes(estimators_=forest().estimators_[0]),
    "nothing fitted": RandomForestClassifier(),
    "names as classes": with_attributes(classes_=np.array(["a", "b", "c"])),
    "classes that the run does not have": with_attributes(classes_=np.array([0, 1, 99])),
    "classes below zero": with_attributes(classes_=np.array([-1, -2, -3])),
    "too few classes": with_attributes(classes_=np.array([0])),
    "no classes": without("classes_"),
    "a text as number of classes": with_attributes(n_classes_="three"),
    "a petabyte of classes": with_attributes(n_classes_=2**60),
    "other features": with_attributes(n_features_in_=3),
    "a text as number of features": with_attributes(n_features_in_="four"),
    "a billion threads": with_attributes(n_jobs=10**9),
    "a billion threads in a tree": with_attributes(estimators_=[RandomForestClassifier(n_jobs=10**9)]),
    "itself": with_attributes(estimators_=[forest()]),
}


@pytest.mark.parametrize("estimator", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_estimator_of_trusted_types_is_a_data_error(stored, folder, estimator):
    run = stored(skops.io.dumps(estimator))
    for use in (
        lambda: evaluate(run, EvaluateRequest("", threads=1)),
        lambda: convert(run, ConvertRequest("", "sklearn", folder / "model.skops")),
    ):
        with pytest.raises(DataError, match="the stored estimator") as caught:
            use()
        assert len(str(caught.value).splitlines()) == 1
    assert not (folder / "model.skops").exists()


@pytest.mark.parametrize(
    "thing",
    [KMeans(2).fit(X), LogisticRegression(), FunctionTransformer(np.exp), {"a": 1}, np.arange(3), "text", None],
    ids=lambda thing: type(thing).__name__,
)
def test_another_object_than_the_configured_estimator_is_a_data_error(stored, thing):
    with pytest.raises(DataError, match=r"is a \w+, expected RandomForestClassifier"):
        stored(skops.io.dumps(thing)).build_engine()


def changed_tree(estimator, change):
    """Change the nodes of the first tree in place and return the estimator."""
    tree = estimator.estimators_[0].tree_
    state = tree.__getstate__()
    change(state["nodes"])
    tree.__setstate__(state)
    return estimator


def setter(name, row, value):
    def change(nodes):
        nodes[name][row] = value

    return change


TREES = {
    "a circle": setter("left_child", 0, 0),
    "a child before its parent": lambda nodes: setter("right_child", np.flatnonzero(nodes["left_child"] > 0)[-1], 1)(
        nodes
    ),
    "a child beyond the last node": setter("left_child", 0, 10**6),
    "a negative child": setter("right_child", 0, -5),
    "a feature that does not exist": setter("feature", 0, 10**6),
    "a negative feature": setter("feature", 0, -10),
}


@pytest.mark.parametrize("change", TREES.values(), ids=TREES)
def test_a_tree_that_leads_outside_of_its_memory_is_a_data_error(change):
    data = skops.io.dumps(changed_tree(forest(), change))
    with pytest.raises(DataError, match="the stored estimator holds a tree that"):
        load_estimator(data)


def nested(member):
    """Return classifiers that contain a fitted one: as a member, in a dictionary of members, and after a search."""
    vote = VotingClassifier([("member", GaussianNB()), ("other", GaussianNB())], voting="soft").fit(X, Y)
    vote.estimators_ = [member, member]
    hidden = VotingClassifier([("member", GaussianNB())]).fit(X, Y)
    hidden.named_estimators_["member"] = member
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2).fit(X, Y)
    search.best_estimator_ = member
    return {"vote": vote, "named": hidden, "search": search, "pipeline": make_pipeline(StandardScaler().fit(X), member)}


@pytest.mark.parametrize("kind", nested(None))
@pytest.mark.parametrize("change", TREES.values(), ids=TREES)
def test_a_tree_that_leads_outside_of_its_memory_is_found_inside_other_estimators(kind, change):
    load_estimator(skops.io.dumps(nested(forest())[kind]))
    with pytest.raises(DataError, match="the stored estimator holds a tree that"):
        load_estimator(skops.io.dumps(nested(changed_tree(forest(), change))[kind]))


@pytest.mark.parametrize("kind", nested(None))
def test_threads_without_limit_are_found_inside_other_estimators(kind):
    with pytest.raises(DataError, match="requests 1,000,000,000 threads"):
        load_estimator(skops.io.dumps(nested(with_attributes(n_jobs=10**9))[kind]))


@pytest.mark.parametrize("kind", nested(None))
def test_a_function_is_refused_inside_other_estimators(kind):
    member = FunctionTransformer(os.system)
    with pytest.raises(DataError, match=r"types that are not trusted: .*system"):
        load_estimator(skops.io.dumps(nested(member)[kind]))


def test_a_tree_with_more_features_than_its_forest_is_a_data_error():
    wide = RandomForestClassifier(3).fit(np.hstack([X, X]), Y)
    wide.n_features_in_ = 4
    with pytest.raises(DataError, match="other features"):
        load_estimator(skops.io.dumps(wide))


@pytest.mark.parametrize(("name", "value"), [("left", 0), ("right", 2**32 - 1), ("feature_idx", 99)])
def test_a_malformed_tree_of_histogram_gradient_boosting_is_a_data_error(name, value):
    boosted = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2).fit(X, Y)
    load_estimator(skops.io.dumps(boosted))
    boosted._predictors[0][0].nodes[name][0] = value
    with pytest.raises(DataError, match="the stored estimator holds a tree that"):
        load_estimator(skops.io.dumps(boosted))


def test_a_tree_that_uses_categories_of_a_feature_without_any_is_a_data_error():
    """The compiled code would look them up behind the end of an array."""
    codes = np.column_stack([np.arange(len(X)) % 3, X])
    boosted = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2, categorical_features=[0]).fit(codes, Y)
    for _, transformer, _ in (*boosted._preprocessor.transformers, *boosted._preprocessor.transformers_):
        if hasattr(transformer, "func"):
            transformer.func = None
    load_estimator(skops.io.dumps(boosted))
    boosted._predictors[0][0].nodes["is_categorical"][0] = 1
    boosted._bin_mapper.is_categorical_[:] = 0
    with pytest.raises(DataError, match="uses categories"):
        load_estimator(skops.io.dumps(boosted))


def npy(shape, dtype, body=b""):
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


ZEROS = bytes(8 * 2**20)
ARRAY = node("NdArrayNode", "numpy", "ndarray", type="numpy", file="x.npy", protocol=2)
ARCHIVES = {
    "a schema of gigabytes": archive(" " * 2**20, zipfile.ZIP_DEFLATED, more=ZEROS),
    "an archive in the archive": archive("{}", **{"x.npz": archive("", zipfile.ZIP_DEFLATED, x=ZEROS)}),
    "a deeply nested schema": archive("[" * 100_000),
    "a schema of another kind": archive("[]"),
    "a schema of numbers": archive('{"protocol": ' + "9" * 100_000 + "}"),
    "no schema": archive("{}")[:20],
    "an unknown loader": archive(node("EvilNode", "a", "b", protocol=2)),
    "a member with dots in its name": archive(
        node("NdArrayNode", "numpy", "ndarray", type="numpy", file="../../canary", protocol=2), **{"../../canary": b"x"}
    ),
    "an array of petabytes": archive(ARRAY, **{"x.npy": npy((2**50,), "<f8")}),
    "an array of gigabytes": archive(ARRAY, **{"x.npy": npy((2**32,), "<f8", bytes(1000))}),
    "an array of pickled objects": archive(ARRAY, **{"x.npy": npy((1,), "|O", b"cos\nmkdir\n(Vcanary\ntR.")}),
}  # fmt: skip


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES)
def test_a_malformed_archive_is_a_data_error(stored, folder, data, monkeypatch):
    monkeypatch.setattr(untrusted, "MIN_EXPANDED_BYTES", 2**20)
    with pytest.raises(MlcliError) as caught:
        stored(data).build_engine()
    assert isinstance(caught.value, DataError)
    assert str(caught.value).isprintable()
    assert not (folder / "canary").exists()
    assert not (folder.parent.parent / "canary").exists()
