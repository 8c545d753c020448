"""A matrix as it is planned: which cells, in which order, and what is refused."""

from __future__ import annotations

import pytest

from mlcli.compare.matrix import MatrixRequest, plan_matrix
from mlcli.errors import ConfigError, UsageError


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "digits.yaml"
    path.write_text("dataset: digits\nseed: 10\nmodel:\n  hidden: [8]\nbackends:\n  torch:\n  sklearn:\n")
    return path


def _cells(path, **request):
    return plan_matrix(MatrixRequest(path, **request))


def test_rounds_are_interleaved_and_seeds_start_with_that_of_the_file(config):
    cells = _cells(config, seeds="3")
    assert [(cell.label, cell.seed) for cell in cells] == [
        (label, seed) for seed in (10, 11, 12) for label in ("torch", "sklearn")
    ]


def test_vary_is_a_product_and_commas_within_brackets_belong_to_the_value(config):
    vary = ["model.hidden=[8,4],[16]", "optimizer.lr=0.1,1e-3"]
    cells = _cells(config, backends=["sklearn"], seeds="3,5", vary=vary)
    assert [cell.seed for cell in cells] == [3] * 4 + [5] * 4
    assert {(cell.config.model.hidden, cell.config.optimizer.lr) for cell in cells} == {
        ((8, 4), 0.1), ((8, 4), 0.001), ((16,), 0.1), ((16,), 0.001),
    }  # fmt: skip
    assert cells[1].label == "hidden=[8,4] lr=0.001" or cells[1].label == "lr=0.001 hidden=[8,4]"


def test_the_run_that_a_cell_starts_from_is_settled_when_it_is_planned(tmp_path, stored_runs):
    path = tmp_path / "iris.yaml"
    path.write_text("dataset: iris\nmodel: logistic\nbackends:\n  sklearn:\n  torch:\n")
    settings = ["init_from.run=20260101T000000Z_iris"]
    cells = _cells(path, seeds="1", settings=settings, runs_directory=stored_runs)
    (digest,) = {cell.config.init_from.weights for cell in cells}
    assert len(digest) == 64
    assert all(cell.refusal is None and cell.digest for cell in cells)


def test_every_cell_is_another_experiment(config):
    cells = _cells(config, vary=["optimizer.lr=0.1,0.01"])
    assert len({cell.digest for cell in cells}) == len(cells) == 12


def test_the_digest_of_a_cell_is_that_of_the_run_it_becomes(config, tmp_path):
    from mlcli.config.experiment import load_experiment
    from mlcli.data.load import load_dataset
    from mlcli.experiment.digests import experiment_digests
    from mlcli.experiment.plan import make_plan

    cell = _cells(config, backends=["sklearn"], seeds="1")[0]
    plan = make_plan(load_experiment(config, flags={"backend": "sklearn"}))
    assert cell.digest == experiment_digests(plan.config, load_dataset(plan.config.dataset))["experiment"]


def test_what_one_engine_cannot_do_is_kept_with_the_reason(config):
    cells = _cells(config, seeds="1", vary=["optimizer=adam,rmsprop"])
    refused = [cell for cell in cells if cell.refusal]
    assert [cell.label for cell in refused] == ["sklearn optimizer=rmsprop"]
    assert "rmsprop cannot train mlp on scikit-learn" in refused[0].refusal


def test_a_matrix_of_which_nothing_can_run_is_refused(config):
    with pytest.raises(UsageError, match="cannot train"):
        _cells(config, backends=["sklearn"], vary=["optimizer=adamw,rmsprop"])


@pytest.mark.parametrize("vary", ["optimizer.lrr=1,2", "optimizer.lr=0.1,-1"])
def test_a_fault_in_one_value_stops_before_anything_runs(config, vary):
    with pytest.raises(ConfigError, match="optimizer"):
        _cells(config, vary=[vary])


@pytest.mark.parametrize("vary", ["optimizer.lr", "optimizer.lr=", "optimizer.lr=1,,2", "optimizer.lr=1,1", "seed=1,2"])
def test_a_vary_that_says_nothing_is_refused(config, vary):
    with pytest.raises(UsageError, match=r"--vary .*optimizer.lr=0.001,0.0003"):
        _cells(config, vary=[vary])


def test_two_ways_to_write_one_value_are_no_two_variants(config):
    with pytest.raises(UsageError, match="the same experiment"):
        _cells(config, vary=["optimizer.lr=0.001,1e-3"])


@pytest.mark.parametrize("seeds", ["0", "-1", "x", "1,1", "1,-2", "1.5", ""])
def test_seeds_that_are_none_are_refused(config, seeds):
    with pytest.raises(UsageError, match="--seeds"):
        _cells(config, seeds=seeds)
