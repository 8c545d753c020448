"""The cells of a matrix, their order, and what is refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.matrix import plan_matrix, running_order
from mlcli.config.experiment import read_layers
from mlcli.errors import ConfigError, UsageError
from tests.fixtures.tables import PENGUINS


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "digits.yaml"
    path.write_text("dataset: digits\nseed: 10\nmodel:\n  hidden: [8]\nbackends:\n  torch:\n  sklearn:\n")
    return path


def _cells(path, runs_directory=Path("runs"), **request):
    return plan_matrix(CompareRequest(inputs=[str(path)], **request), runs_directory)


def test_rounds_are_interleaved_and_seeds_start_with_that_of_the_file(config):
    cells = _cells(config, seeds="3")
    assert [(cell.label, cell.draw.seed) for cell in cells] == [
        (label, seed) for seed in (10, 11, 12) for label in ("torch", "sklearn")
    ]


def test_cells_run_in_rounds_and_every_second_round_reverses_the_one_before(config):
    cells = _cells(config, seeds="5", vary=["optimizer.lr=0.1,0.2"], backends="sklearn,torch")
    orders = set()
    for number in range(20):
        order = running_order(cells, Random(number))
        assert sorted(order) == list(range(20))
        rounds = [[cells[index].label for index in order[start : start + 4]] for start in range(0, 20, 4)]
        assert [cells[index].draw.seed for index in order] == [cell.draw.seed for cell in cells]
        assert rounds[1] == rounds[0][::-1]
        assert rounds[3] == rounds[2][::-1]
        orders.add(tuple(order))
    assert len(orders) > 10


def test_vary_is_a_product_and_commas_within_brackets_belong_to_the_value(config):
    vary = ["model.hidden=[8,4],[16]", "optimizer.lr=0.1,1e-3"]
    cells = _cells(config, backends="sklearn", seeds="3,5", vary=vary)
    assert [cell.draw.seed for cell in cells] == [3] * 4 + [5] * 4
    assert {(cell.config.model.hidden, cell.config.optimizer.lr) for cell in cells} == {
        ((8, 4), 0.1), ((8, 4), 0.001), ((16,), 0.1), ((16,), 0.001),
    }  # fmt: skip
    assert cells[1].label == "hidden=[8,4] lr=0.001" or cells[1].label == "lr=0.001 hidden=[8,4]"


def test_the_initial_weights_of_a_cell_are_pinned_when_it_is_planned(tmp_path, stored_runs):
    path = tmp_path / "iris.yaml"
    path.write_text("dataset: iris\nmodel: logistic\nbackends:\n  sklearn:\n  torch:\n")
    settings = ["init_from.run=20260101T000000Z_iris"]
    cells = _cells(path, stored_runs, seeds="1", settings=settings)
    (digest,) = {cell.config.init_from.weights for cell in cells}
    assert len(digest) == 64
    assert all(cell.refusal is None and cell.digest for cell in cells)


def test_every_cell_is_another_experiment(config):
    cells = _cells(config, vary=["optimizer.lr=0.1,0.01"])
    assert len({cell.digest for cell in cells}) == len(cells) == 12


def test_the_digest_of_a_cell_is_that_of_the_run_it_becomes(config, tmp_path):
    from mlcli.config.experiment import load_experiment
    from mlcli.data.load import load_dataset
    from mlcli.experiment.plan import experiment_digests, make_plan

    cell = _cells(config, backends="sklearn", seeds="1")[0]
    plan = make_plan(load_experiment(config, flags={"backend": "sklearn"}))
    assert cell.digest == experiment_digests(plan.config, load_dataset(plan.config.dataset))["experiment"]


def test_a_variant_that_its_engine_does_not_support_is_kept_with_the_reason(config):
    cells = _cells(config, seeds="1", vary=["optimizer=adam,rmsprop"])
    refused = [cell for cell in cells if cell.refusal]
    assert [cell.label for cell in refused] == ["sklearn optimizer=rmsprop"]
    assert "rmsprop cannot train mlp on scikit-learn" in refused[0].refusal


def test_a_matrix_without_any_supported_variant_is_refused(config):
    with pytest.raises(UsageError, match="cannot train"):
        _cells(config, backends="sklearn", vary=["optimizer=adamw,rmsprop"])


@pytest.mark.parametrize("vary", ["optimizer.lrr=1,2", "optimizer.lr=0.1,-1"])
def test_an_invalid_value_is_refused_before_anything_runs(config, vary):
    with pytest.raises(ConfigError, match="optimizer"):
        _cells(config, vary=[vary])


@pytest.mark.parametrize("vary", ["optimizer.lr", "optimizer.lr=", "optimizer.lr=1,,2", "optimizer.lr=1,1", "seed=1,2"])
def test_invalid_vary_options_are_refused(config, vary):
    with pytest.raises(UsageError, match=r"--vary .*optimizer.lr=0.001,0.0003"):
        _cells(config, vary=[vary])


def test_two_spellings_of_one_value_are_refused(config):
    with pytest.raises(UsageError, match="the same experiment"):
        _cells(config, vary=["optimizer.lr=0.001,1e-3"])


@pytest.mark.parametrize("seeds", ["0", "-1", "x", "1,1", "1,-2", "1.5", "", "0,4294967296"])
def test_invalid_seeds_are_refused(config, seeds):
    with pytest.raises(UsageError, match="--seeds"):
        _cells(config, seeds=seeds)


def test_seeds_of_the_options_win_over_those_in_the_file(tmp_path):
    path = tmp_path / "iris.yaml"
    path.write_text("dataset: iris\nmodel: logistic\nseed: 4\nbackends:\n  torch: {seed: 7}\n  sklearn:\n")
    cells = _cells(path, seeds="2")
    assert [(cell.label, cell.draw.seed) for cell in cells] == [
        ("torch", 7),
        ("sklearn", 7),
        ("torch", 8),
        ("sklearn", 8),
    ]
    assert [cell.draw.seed for cell in _cells(path, seeds="2", settings=["seed=20"])] == [20, 20, 21, 21]
    assert [cell.draw.seed for cell in _cells(path, seeds="5,0", settings=["seed=20"])] == [5, 5, 0, 0]


def test_the_configuration_is_read_once(config, monkeypatch):
    def read_and_remove(path):
        layers = read_layers(path)
        path.unlink()
        return layers

    monkeypatch.setattr("mlcli.compare.matrix.read_layers", read_and_remove)
    assert len(_cells(config, seeds="3", vary=["optimizer.lr=0.1,0.01"])) == 12


def test_data_and_model_are_given_by_flags():
    flags = {"dataset.path": str(PENGUINS), "dataset.target": "species", "model.name": "logistic"}
    cells = plan_matrix(CompareRequest(backends="sklearn,torch", flags=flags, seeds="2"), Path("runs"))
    assert [(cell.label, cell.draw.seed) for cell in cells] == [
        ("sklearn", 0), ("torch", 0), ("sklearn", 1), ("torch", 1),
    ]  # fmt: skip
    assert {(cell.config.dataset.target, cell.config.model.name) for cell in cells} == {("species", "logistic")}


def test_folds_in_time_are_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"dataset: {{path: {PENGUINS}, target: species, time: year}}\nmodel: logistic\nbackend: sklearn\n")
    with pytest.raises(UsageError, match="--folds: dataset.time has windows that cannot be drawn anew"):
        _cells(path, folds=3)
