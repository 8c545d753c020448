"""Runs on a person's own table: the same as by hand with scikit-learn, and everything a run on known data can do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from mlcli.compare.receipt import comparability_report, facts_of
from mlcli.compare.variants import check_same_data, measure
from mlcli.config.schema import ExperimentConfig
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.data.load import load_dataset
from mlcli.errors import DataError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from mlcli.runs.directory import RunDirectory
from mlcli.train.checkpointing import parse_checkpoint_every
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, resume, train
from tests.fixtures.tables import PENGUINS, TABLES, pipeline_by_hand, rows_of_split

SILENT = QuietProgress(show_notes=False)
LOGISTIC = {"name": "logistic"}


def plan_of(path, model=LOGISTIC, backend="sklearn", target="species", **settings):
    dataset = {"path": str(path), "target": target} | settings.pop("dataset", {})
    return make_plan(
        ExperimentConfig.model_validate({"backend": backend, "dataset": dataset, "model": model, **settings})
    )


def trained(plan, directory, observer=SILENT, every="auto"):
    train(plan, RunPaths(directory.parent, directory), 1, observer, every=parse_checkpoint_every(every))
    return open_run(RunDirectory(directory))


def estimator(name, **parameters):
    return {"name": "estimator", "estimator": name, "parameters": parameters}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network on the penguins, by torch. Tests only read it."""
    model, training = {"name": "mlp", "hidden": (8,)}, {"epochs": 5, "batch_size": 32}
    return trained(plan_of(PENGUINS, model, "torch", training=training), tmp_path_factory.mktemp("runs") / "run")


def test_predictions_are_those_of_a_pipeline_by_hand(tmp_path):
    """Other models and tables are in test_by_hand.py, which does not store them."""
    optimizer = {"name": "lbfgs", "max_iter": 1000, "tolerance": 1e-8}
    plan = plan_of(PENGUINS, runtime={"precision": "float64"}, optimizer=optimizer)
    stored = trained(plan, tmp_path / "run").files.predictions()
    rows, transformer = pipeline_by_hand(PENGUINS, "species", ["island", "sex"])
    train_rows, test_rows = rows_of_split(PENGUINS, "species")
    y = pd.read_csv(PENGUINS)["species"].astype("category").cat.codes.to_numpy()
    classifier = LogisticRegression(max_iter=1000, tol=1e-8)
    classifier.fit(transformer.fit_transform(rows.iloc[train_rows]), y[train_rows])
    x = transformer.transform(rows.iloc[test_rows])
    np.testing.assert_array_equal(stored["y"], y[test_rows])
    np.testing.assert_array_equal(stored["labels"], classifier.predict(x))
    np.testing.assert_allclose(stored["probabilities"], classifier.predict_proba(x), atol=1e-5)


BOOSTING = {"max_iter": 5, "min_samples_leaf": 2}


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    """Histogram gradient boosting with balanced classes on the mammals, which have many missing values."""
    path = tmp_path_factory.mktemp("runs")
    plan = plan_of(
        TABLES / "msleep.csv",
        estimator("HistGradientBoostingClassifier", **BOOSTING),
        target="vore",
        training={"class_weight": "balanced"},
    )
    return trained(plan, path / "run")


def test_a_run_with_codes_is_stored_and_used_again(boosted, tmp_path):
    assert boosted.config.dataset.encoding == boosted.preprocessing.encoding.form == "codes"
    assert [name for name in boosted.preprocessing.feature_names if "=" in name or "missing" in name] == []
    assert any("texts are numbers of their categories" in note for note in boosted.record.notes)
    evaluation = evaluate(boosted, EvaluateRequest("", threads=1, n_misclassified=3)).evaluation
    assert evaluation.reported == evaluation.metrics == boosted.record.metrics["test"]
    stored = boosted.build_engine()._estimator
    assert (stored.class_weight, stored.categorical_features[:3]) == ("balanced", [True, True, False])
    output = tmp_path / "out.csv"
    request = PredictRequest("", TABLES / "msleep.csv", output, threads=1)
    prediction = predict(boosted, request, lambda *_: None)
    assert prediction.n_samples == len(pd.read_csv(output)) == 76
    _, test = rows_of_split(TABLES / "msleep.csv", "vore")
    np.testing.assert_array_equal(pd.read_csv(output)["label"][test], boosted.files.predictions()["labels"])


def test_boosting_takes_one_hot_features_where_that_is_chosen(boosted, tmp_path):
    for number, (parameters, dataset) in enumerate(
        [(BOOSTING, {"encoding": "one-hot"}), ({**BOOSTING, "categorical_features": None}, {})]
    ):
        plan = plan_of(
            TABLES / "msleep.csv",
            estimator("HistGradientBoostingClassifier", **parameters),
            target="vore",
            dataset=dataset,
            training={"class_weight": "balanced"},
        )
        run = trained(plan, tmp_path / str(number))
        assert run.preprocessing.encoding.form == "one-hot"
        differences = run.files.predictions()["probabilities"] - boosted.files.predictions()["probabilities"]
        assert np.abs(differences).max() > 0.01


def test_codes_are_refused_for_models_that_do_not_take_them():
    for model in (LOGISTIC, estimator("RandomForestClassifier")):
        with pytest.raises(UsageError, match="encoding codes: only HistGradientBoostingClassifier takes"):
            plan_of(PENGUINS, model, dataset={"encoding": "codes"})


def test_trees_on_numbers_with_missing_values_are_exported(tmp_path):
    table = tmp_path / "numbers.csv"
    pd.read_csv(TABLES / "msleep.csv").drop(columns=["name", "genus", "order", "conservation"]).to_csv(
        table, index=False
    )
    model = estimator("HistGradientBoostingClassifier", **BOOSTING)
    run = trained(plan_of(table, model, target="vore"), tmp_path / "run")
    conversion = convert(run, ConvertRequest("", "sklearn", tmp_path / "model.skops", threads=1))
    assert (conversion.n_changed, conversion.largest_difference) == (0, 0.0)


def test_the_run_holds_the_schema_of_its_table_and_the_digest_of_its_content(run):
    encoding = run.preprocessing.encoding
    assert [(column.name, column.kind) for column in encoding.columns] == [
        ("island", "categorical"),
        *((name, "numeric") for name in ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")),
        ("sex", "categorical"),
        ("year", "numeric"),
    ]
    assert encoding.target == "species"
    assert len(run.record.digests["dataset"]) == 64
    assert run.record.dataset == "penguins"
    assert run.record.notes[0].startswith("columns: 5 numeric (bill_length_mm, ")


def test_the_time_of_reading_the_table_for_the_plan_counts_as_loading(penguins, tmp_path):
    plan = plan_of(penguins)
    timing = trained(plan, tmp_path / "run").record.timing
    seconds = load_dataset(plan.config.dataset).planning_seconds  # that of the one reading, which is cached
    assert timing.total_seconds >= timing.load_seconds >= seconds > 0


def test_the_place_of_the_table_does_not_change_the_experiment(run, penguins, tmp_path):
    config = run.config.model_copy(update={"dataset": run.config.dataset.model_copy(update={"path": str(penguins)})})
    again = trained(make_plan(config), tmp_path / "again")
    assert again.record.digests == run.record.digests
    np.testing.assert_array_equal(again.files.predictions()["logits"], run.files.predictions()["logits"])


def test_changed_data_is_reported_by_evaluate_and_a_moved_file_can_be_named(penguins, tmp_path):
    run = trained(plan_of(penguins), tmp_path / "run")
    moved = shutil.move(penguins, tmp_path / "moved.csv")
    request = EvaluateRequest("", threads=1, data=moved)
    assert evaluate(run, request).evaluation.reported == run.record.metrics["test"]
    with pytest.raises(DataError, match=r"penguins\.csv: no such file"):
        evaluate(run, EvaluateRequest("", threads=1))
    table = pd.read_csv(moved, keep_default_na=False)
    pd.concat([table, table.iloc[:50]]).to_csv(moved, index=False)
    evaluation = evaluate(run, request).evaluation
    assert any(note.startswith("not the data of the run: moved has the fingerprint") for note in evaluation.notes)
    assert evaluation.reported is None
    assert (evaluation.samples_title, evaluation.metrics.n_samples) == ("all samples", 394)
    split = evaluate(run, replace(request, split="test")).evaluation
    assert (split.samples_title, split.metrics.n_samples) == ("the test split", 79)


def test_other_data_are_scored_whole_without_the_columns_that_decided_the_splits(penguins, tmp_path):
    run = trained(plan_of(penguins, dataset={"group": "year"}), tmp_path / "run")
    evaluation = evaluate(run, EvaluateRequest("", threads=1)).evaluation
    assert evaluation.reported == run.record.metrics["test"]
    assert evaluation.split == "test"
    table = pd.read_csv(penguins, keep_default_na=False)
    table.iloc[100:200].drop(columns="year").to_csv(tmp_path / "new.csv", index=False)
    evaluation = evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "new.csv")).evaluation
    assert (evaluation.split, evaluation.metrics.n_samples) == ("all", 100)
    assert (
        evaluation.confusion.sum(axis=1).tolist()
        == table["species"].iloc[100:200].value_counts().reindex(run.preprocessing.class_names, fill_value=0).tolist()
    )
    with pytest.raises(DataError, match="missing columns: 'year'"):
        evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "new.csv", split="test"))


def test_runs_with_different_splits_are_not_compared(penguins, tmp_path):
    whole = trained(plan_of(penguins), tmp_path / "whole")
    grouped = trained(plan_of(penguins, dataset={"group": "year"}), tmp_path / "grouped")
    assert whole.record.digests["config"] != grouped.record.digests["config"]
    with pytest.raises(UsageError, match="different splits: whole has penguins"):
        check_same_data([measure(run) for run in (whole, grouped)])
    receipt = comparability_report([facts_of(run) for run in (whole, grouped)])
    assert {"split", "split method"} <= {row.what for row in receipt.different}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="sex"), "missing columns: 'sex'"),
        (lambda table: table.assign(species=["Emperor", *table["species"][1:]]), "no classes of the run: 'Emperor'"),
    ],
)
def test_a_table_that_does_not_fit_the_run_is_not_scored(run, penguins, change, message):
    change(pd.read_csv(penguins, keep_default_na=False)).to_csv(penguins, index=False)
    with pytest.raises(DataError, match=message):
        evaluate(run, EvaluateRequest("", threads=1, data=penguins))


def test_data_of_the_other_kind_is_refused(run, iris_run, penguins):
    with pytest.raises(UsageError, match="dataset iris: the run was trained on data of its own"):
        evaluate(run, EvaluateRequest("", threads=1, dataset="iris"))
    with pytest.raises(UsageError, match="the run was trained on iris; use --dataset"):
        evaluate(iris_run, EvaluateRequest("", threads=1, data=penguins))


@pytest.fixture
def parts(penguins, tmp_path):
    """The rows of the training and of the test split of the penguins as two files, as settings of a dataset."""
    table = pd.read_csv(penguins, keep_default_na=False)
    for name, rows in zip(("train", "test"), rows_of_split(penguins, "species"), strict=True):
        table.iloc[rows].to_csv(tmp_path / f"{name}.csv", index=False)
    return {"path": str(tmp_path / "train.csv"), "test_path": str(tmp_path / "test.csv")}


def test_training_and_test_files_give_the_run_of_one_file_with_that_split(parts, penguins, tmp_path):
    of_files = trained(plan_of("", dataset=parts), tmp_path / "files")
    of_one = trained(plan_of(penguins), tmp_path / "one")
    assert of_files.preprocessing.encoding == of_one.preprocessing.encoding
    for name, array in of_one.weights().items():
        np.testing.assert_array_equal(of_files.weights()[name], array)
    assert of_files.record.metrics["test"] == of_one.record.metrics["test"]


def test_evaluate_scores_the_test_file_or_another_one_whole(parts, penguins, tmp_path):
    run = trained(plan_of("", dataset=parts), tmp_path / "run")
    assert evaluate(run, EvaluateRequest("", threads=1)).evaluation.reported == run.record.metrics["test"]
    other = evaluate(run, EvaluateRequest("", threads=1, data=penguins)).evaluation
    assert (other.metrics.n_samples, other.reported) == (344, None)
    test = tmp_path / "test.csv"
    test.write_text("".join(test.read_text().splitlines(keepends=True)[:40]))
    changed = evaluate(run, EvaluateRequest("", threads=1)).evaluation
    assert changed.metrics.n_samples == 39
    assert any(note.startswith("not the data of the run") for note in changed.notes)


def test_early_stopping_is_possible_with_a_validation_file(parts):
    settings = {"model": {"name": "mlp"}, "backend": "torch", "training": {"early_stopping": {}}}
    with pytest.raises(UsageError, match="early_stopping needs validation data"):
        plan_of("", dataset=parts, **settings)
    assert plan_of("", dataset=parts | {"validation_path": parts["test_path"]}, **settings).info.n_validation == 69


class _Stopping(QuietProgress):
    def on_epoch(self, record, n_epochs):
        if record.epoch == 2:
            raise KeyboardInterrupt


def interrupted(path, directory, every="1epoch"):
    plan = plan_of(path, {"name": "mlp", "hidden": (8,)}, "torch", training={"epochs": 5, "batch_size": 32})
    with pytest.raises(KeyboardInterrupt):
        trained(plan, directory, _Stopping(show_notes=False), every)
    return plan


def test_a_run_resumes_bit_identical(run, penguins, tmp_path):
    plan = interrupted(penguins, tmp_path / "run")
    resume(RunDirectory(tmp_path / "run"), plan, RunPaths(tmp_path), 1, SILENT)
    resumed = open_run(RunDirectory(tmp_path / "run"))
    for name, array in run.weights().items():
        np.testing.assert_array_equal(resumed.weights()[name], array)


@pytest.mark.parametrize("every", ["1epoch", "never"])
def test_a_run_whose_table_has_changed_is_not_resumed(every, penguins, tmp_path):
    interrupted(penguins, tmp_path / "run", every)
    penguins.write_text(penguins.read_text().replace("39.1", "39.2"))
    plan = plan_of(penguins, {"name": "mlp", "hidden": (8,)}, "torch", training={"epochs": 5, "batch_size": 32})
    with pytest.raises(DataError, match="cannot be resumed: the dataset has changed since the run started"):
        resume(RunDirectory(tmp_path / "run"), plan, RunPaths(tmp_path), 1, SILENT)


def test_training_starts_from_the_weights_of_a_run_with_the_same_features_only(run, tmp_path, penguins):
    settings = {
        "model": {"name": "mlp", "hidden": (8,)},
        "init_from": {"run": str(run.path)},
        "training": {"epochs": 1},
    }
    again = trained(plan_of(penguins, backend="torch", **settings), tmp_path / "again")
    assert any(note.startswith("starts from the weights of run run") for note in again.record.notes)
    penguins.write_text(penguins.read_text().replace("year", "season"))
    with pytest.raises(UsageError, match=r"other features\nonly there: year; only here: season$"):
        trained(plan_of(penguins, backend="torch", **settings), tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--data", "penguins.csv"), 2, "--data: dataset: the target is missing"),
        (("--data", "penguins.csv", "--target", "specis"), 2, "no column 'specis' (did you mean 'species'?)"),
        (("--data", "none.csv", "--target", "species"), 3, "none.csv: no such file"),
        (("--data", "penguins.csv", "--target", "body_mass_g"), 3, "the label is missing"),
        (("--data", "penguins.csv", "--target", "species", "--dataset", "iris"), 2, "both the name iris and a path"),
        (("--target", "species"), 2, "--target: dataset: target: only for data of your own"),
    ],
)
def test_a_refused_table_leaves_no_run(arguments, code, message, penguins, cli):
    done = cli("train", *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert [path.name for path in penguins.parent.iterdir()] == ["penguins.csv"]


def test_names_in_a_table_are_printed_without_their_control_characters_and_markup(tmp_path, cli):
    header = '"\x1b[31mred","[bold]text","label"\n'
    rows = [f"{number},{'xy'[number % 2]}\x1b[2J,{'ab'[number % 2]}[red]\x07\n" for number in range(40)]
    (tmp_path / "t.csv").write_text(header + "".join(rows))
    done = cli("train", "--data", "t.csv", "--target", "label", "--backend", "sklearn", "--model", "logistic")
    assert done.returncode == 0, done.stderr
    assert "1 numeric (\\x1b[31mred), 1 categorical ([bold]text)" in done.stderr
    done = cli("predict", "last", "-i", "t.csv", "-o", "out.csv")
    assert "a[red]\\x07" in done.stdout
    assert not {"\x1b", "\x07"} & set(done.stdout + done.stderr)
    assert pd.read_csv(tmp_path / "out.csv")["class_name"].tolist() == ["a[red]\\x07", "b[red]\\x07"] * 20


def test_engines_take_the_same_steps_on_a_table(penguins, cli):
    done = cli("parity", "--data", "penguins.csv", "--target", "species", "--steps", "10", "--format", "json")
    assert done.returncode == 0, done.stderr
    pairs = json.loads(done.stdout)["pairs"]
    assert [pair["verdict"] for pair in pairs] == ["equal"] * 3
