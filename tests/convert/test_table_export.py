"""Models of a person's own table are exported with their preparation, and predict without mlcli as with it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.convert import ConvertRequest, preparation
from mlcli.convert.conversion import convert
from mlcli.convert.formats import FORMATS
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from mlcli.runs.directory import RunDirectory
from mlcli.runs.formats import preprocessing_from
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train

N_ROWS = 300


def visits(seed):
    """Return rows with numbers, booleans, dates of two forms and texts, some rare, all with missing values."""
    generator = np.random.default_rng(seed)
    when = pd.Timestamp("1968-02-20") + pd.to_timedelta(generator.integers(0, 9 * 10**8, N_ROWS), unit="s")
    table = pd.DataFrame(
        {
            "height (cm)": generator.normal(size=N_ROWS),
            "id": 10**9 + generator.integers(0, 1000, N_ROWS),
            "smoker": generator.choice(["yes", "No"], N_ROWS),
            "zip": generator.choice(["01234", "00501", "99999"], N_ROWS),
            "city": [f"city {number}, ä" for number in generator.geometric(0.3, N_ROWS)],
            "when": when.strftime("%Y-%m-%d %H:%M:%S"),
            "day": when.strftime("%d.%m.%Y"),
        }
    )
    table = table.astype(object).mask(generator.random(table.shape) < 0.1)
    labels = np.where(generator.random(N_ROWS) < 0.5, "no way", "of course")
    return table.assign(label=np.where(table["zip"] == "99999", "a, b", labels))


def trained(directory, model, backend, table, **dataset):
    path = directory / "visits.csv"
    table.to_csv(path, index=False, sep=";", na_rep="NA")
    settings = {
        "backend": backend,
        "dataset": {"path": str(path), "target": "label", "columns": {"zip": "categorical"}, **dataset},
        "model": model,
        "training": {"epochs": 3} if backend == "torch" else {},
    }
    paths = RunPaths(directory, directory / "run")
    train(make_plan(ExperimentConfig.model_validate(settings)), paths, 1, QuietProgress(show_notes=False))
    return open_run(RunDirectory(directory / "run"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network by PyTorch."""
    return trained(tmp_path_factory.mktemp("runs"), {"name": "mlp", "hidden": (8,)}, "torch", visits(0))


def converted(run, target, folder):
    suffix = FORMATS[target].suffix
    return convert(run, ConvertRequest("", target, folder / target / f"m{suffix}", threads=1))


def predicted(run, path, output):
    predict(run, PredictRequest("", path, output, force=True, threads=1), lambda *_: None)
    found = pd.read_csv(output)
    return found["class_name"].tolist(), found.filter(like="probability_").to_numpy()


def test_the_printed_lines_predict_other_rows_without_mlcli_as_predict_does(run, run_alone, tmp_path):
    path, before = Path(run.config.dataset.path), Path(run.config.dataset.path).read_bytes()
    usages = {target: converted(run, target, tmp_path).usage for target in FORMATS}
    table = visits(1).drop(columns="label")
    table.loc[:9, ["zip", "city"]] = ["12345", "Atlantis"]  # unseen
    table.loc[:3, ["when", "day"]] = [
        ["2000-02-29", "1.3.1900"],
        ["1969-12-31T23:59:59.5Z", None],
        [None, "29.2.2096"],
        ["2024-1-5 7:30 +02:00", "2024-01-05"],
    ]
    table[[*reversed(table.columns)]].assign(extra="x").to_csv(path, index=False, sep=";", na_rep="NA")
    labels, probabilities = predicted(run, path, tmp_path / "out.csv")
    for target, code in usages.items():
        found_labels, found_probabilities = run_alone(code)
        np.testing.assert_allclose(found_probabilities, probabilities, rtol=0, atol=1e-6, err_msg=target)
        assert found_labels == labels
    path.write_bytes(before)
    assert set(labels) == {"a, b", "no way", "of course"}


def test_a_script_and_the_preparation_are_written_next_to_the_model(run, tmp_path):
    conversion = converted(run, "sklearn", tmp_path)
    folder = tmp_path / "sklearn"
    assert sorted(path.name for path in folder.iterdir()) == ["m.json", "m.py", "m.skops"]
    assert conversion.other_files == (str(folder / "m.py"), str(folder / "m.json"))
    assert conversion.accuracy == conversion.reported_accuracy
    document = json.loads((folder / "m.json").read_text())
    assert document == json.loads((run.path / "preprocessing.json").read_text())
    (folder / "m.skops").unlink()
    with pytest.raises(UsageError, match=r"m\.py: exists already"):
        converted(run, "sklearn", tmp_path)


def test_features_of_a_script_are_those_of_the_run(run):
    dataset = run.load_dataset()
    table = preparation.read_table(run.config.dataset.path, json.loads((run.path / "preprocessing.json").read_text()))
    found = preparation.features(table, json.loads((run.path / "preprocessing.json").read_text()))
    known = {tuple(row) for row in found.round(9)}
    expected = (dataset.test.x - dataset.scaling.shift) / dataset.scaling.scale
    assert all(tuple(row) in known for row in expected.round(9))


@pytest.mark.parametrize(("estimator", "max_iter"), [("HistGradientBoostingClassifier", 5), ("LinearSVC", 1000)])
def test_estimators_are_exported_with_their_preparation(estimator, max_iter, run_alone, tmp_path):
    model = {"name": "estimator", "estimator": estimator, "parameters": {"max_iter": max_iter}}
    run = trained(tmp_path, model, "sklearn", visits(0))
    path, code = Path(run.config.dataset.path), converted(run, "sklearn", tmp_path).usage
    table = visits(1)
    table.loc[:9, ["zip", "city"]] = ["12345", "Atlantis"]  # unseen
    table.to_csv(path, index=False, sep=";", na_rep="NA")
    labels, probabilities = predicted(run, path, tmp_path / "out.csv")
    found_labels, found_probabilities = run_alone(code)
    assert found_labels == labels
    np.testing.assert_allclose(found_probabilities, probabilities, rtol=0, atol=1e-9)


def test_a_table_whose_damaged_rows_were_skipped_is_exported(tmp_path, run_alone):
    table = visits(0)
    lines = table.to_csv(index=False, sep=";", na_rep="NA").splitlines()
    lines[5], lines[6] = f"{lines[5]};more", lines[6].rpartition(";")[0]
    lines[7] = f"tall{lines[7][lines[7].index(';') :]}"
    path = tmp_path / "damaged.csv"
    path.write_text("\n".join(lines))
    run = trained(tmp_path, {"name": "logistic"}, "sklearn", table, path=str(path), on_bad="skip")
    conversions = {target: converted(run, target, tmp_path) for target in ("sklearn", "onnx")}
    table.to_csv(path, index=False, sep=";", na_rep="NA")
    labels, probabilities = predicted(run, path, tmp_path / "out.csv")
    for target, conversion in conversions.items():
        assert "remove its damaged rows first" in " ".join(conversion.notes), target
        found_labels, found_probabilities = run_alone(conversion.usage)
        assert found_labels == labels
        np.testing.assert_allclose(found_probabilities, probabilities, rtol=0, atol=1e-6)


def test_a_table_of_parquet_is_exported_too(run, tmp_path):
    table = visits(0)
    table["height (cm)"] = table["height (cm)"].astype(float)
    table["id"] = table["id"].astype(float)
    table["when"] = pd.to_datetime(table["when"])
    table.to_parquet(tmp_path / "t.parquet", index=False)
    parquet = trained(tmp_path, {"name": "logistic"}, "sklearn", table, path=str(tmp_path / "t.parquet"))
    for target in ("sklearn", "onnx"):
        names = {}
        exec(converted(parquet, target, tmp_path).usage, names)
        found = names["labels"] if "labels" in names else names["predictions"]["class_name"]
        assert found.tolist() == predicted(parquet, tmp_path / "t.parquet", tmp_path / "out.csv")[0]


def test_an_export_that_predicts_otherwise_is_not_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_printable", str.upper)
    with pytest.raises(MlcliError, match="nothing was written: the export "):
        converted(run, "onnx", tmp_path)
    assert not list(tmp_path.iterdir())


def logistic_run(folder, **dataset):
    settings = {"backend": "sklearn", "dataset": dataset, "model": {"name": "logistic"}}
    paths = RunPaths(folder, folder / "run")
    train(make_plan(ExperimentConfig.model_validate(settings)), paths, 1, QuietProgress(show_notes=False))
    return open_run(RunDirectory(folder / "run"))


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """Logistic regression on a file without names of columns, in which texts begin with the same 100 characters."""
    folder = tmp_path_factory.mktemp("headless")
    rows = [f"{n / 7:.3f},{'s' * 120}{n // 2 % 2},{'ab'[n % 2]}" for n in range(60)]
    (folder / "t.data").write_text("\n".join(rows) + "\n\n")
    return logistic_run(folder, path=str(folder / "t.data"), target="column 3")


def test_a_file_without_a_header_is_predicted_evaluated_and_exported_as_it_was_trained(headless, tmp_path):
    path = Path(headless.config.dataset.path)
    rows = path.read_text().splitlines()[:40]
    new = tmp_path / "new.data"
    new.write_text("\n".join(row.rpartition(",")[0] for row in rows))
    labels, probabilities = predicted(headless, new, tmp_path / "out.csv")
    assert len(labels) == 40
    converted(headless, "sklearn", tmp_path)
    script = runpy.run_path(str(tmp_path / "sklearn" / "m.py"))
    found = script["predict_file"](str(new))
    assert found["class_name"].tolist() == labels
    np.testing.assert_allclose(found.filter(like="probability_"), probabilities, rtol=0, atol=1e-6)
    new.write_text("\n".join(rows))
    evaluation = evaluate(headless, EvaluateRequest("", data=str(new), threads=1)).evaluation
    assert evaluation.metrics.n_samples == 40
    document = json.loads((headless.path / "preprocessing.json").read_text())
    del document["encoding"]["has_header"]
    assert preprocessing_from(document).encoding.has_header


def test_the_lines_of_an_onnx_model_read_a_file_without_a_header(headless, tmp_path):
    with pytest.raises(MlcliError, match="cannot match texts over 100 characters"):
        converted(headless, "onnx", tmp_path)


def test_evaluate_leaves_out_damaged_rows_as_the_run_or_as_asked_and_predict_none(tmp_path):
    rows = [f"{n / 7:.3f},{'st'[n // 2 % 2]},{'ab'[n % 2]}" for n in range(60)]
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("\n".join(["n,c,t", *rows]))
    bad.write_text("\n".join(["n,c,t", "1,s", "oops,s,a", "3,s,", *rows]))
    run = logistic_run(tmp_path, path=str(bad), target="t", on_bad="skip")
    evaluation = evaluate(run, EvaluateRequest("", threads=1)).evaluation
    assert evaluation.metrics == run.record.metrics["test"]
    with pytest.raises(DataError, match=r"bad\.csv:2: 2 cells.*\n.*\ncorrect them$"):
        predicted(run, bad, tmp_path / "out.csv")
    (tmp_path / "2").mkdir()
    strict = logistic_run(tmp_path / "2", path=str(good), target="t")
    with pytest.raises(DataError, match=r"--on-bad skip"):
        evaluate(strict, EvaluateRequest("", data=bad, threads=1))
    result = evaluate(strict, EvaluateRequest("", data=bad, on_bad="skip", threads=1))
    assert result.evaluation.metrics.n_samples == 60


@pytest.fixture
def odd(tmp_path):
    """Return a function that trains on a table with odd names, and texts of a column."""

    def train_on(*texts):
        table = pd.DataFrame(
            {
                "": range(N_ROWS),  # as pandas writes an index
                " height ": visits(0)["height (cm)"],
                "t\u00e9xt": np.resize(texts, N_ROWS),
                "seen": pd.to_datetime(visits(0)["day"], format="%d.%m.%Y").dt.strftime("%m/%d/%Y"),
                "flag": np.resize(["TRUE", "false", "NA"], N_ROWS),
                "label": visits(0)["label"],
            }
        )
        return trained(tmp_path, {"name": "logistic"}, "sklearn", table, columns={}, scaling="unit")

    return train_on


@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_odd_names_and_dates_with_the_month_first_are_exported(odd, target, tmp_path):
    run = odd("x, y", "-", "'\"'")
    names = {}
    exec(converted(run, target, tmp_path).usage, names)
    probabilities = names["scores"] if target == "onnx" else names["predictions"].iloc[:, 1:]
    expected = predicted(run, Path(run.config.dataset.path), tmp_path / "out.csv")[1]
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_texts_that_onnx_cannot_match_are_refused_and_exported_otherwise(odd, tmp_path):
    run = odd("x" * 150, "y" * 150, "bell\a")
    with pytest.raises(MlcliError, match="in another way than the run\nit cannot match texts over 100 characters"):
        converted(run, "onnx", tmp_path)
    names = {}
    exec(converted(run, "sklearn", tmp_path).usage, names)
    labels, _ = predicted(run, Path(run.config.dataset.path), tmp_path / "out.csv")
    assert names["predictions"]["class_name"].tolist() == labels


def test_a_column_named_like_a_part_of_an_onnx_model_is_refused(tmp_path):
    table = visits(0)[["height (cm)", "label"]].rename(columns={"height (cm)": "logits"})
    run = trained(tmp_path, {"name": "logistic"}, "sklearn", table, columns={})
    with pytest.raises(UsageError, match="--to onnx: 'logits' is the name of a part of the model too"):
        converted(run, "onnx", tmp_path)
