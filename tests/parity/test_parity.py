"""Parity: engines that are equal are found equal, a slip in one is found, and what cannot be compared says why."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest

from mlcli import registry
from mlcli.config.experiment import load_experiment
from mlcli.errors import DivergedError, UsageError
from mlcli.parity.parity import check_parity

SMALL = ["model.hidden=[16]", "training.batch_size=100"]


def experiments(backends, *settings, path=None):
    return {
        backend: load_experiment(path, flags={"backend": backend}, settings=[*SMALL, *settings], environ={})
        for backend in backends
    }


def parity(backends, *settings, n_steps=20, tolerance=1e-8, **places):
    return check_parity(experiments(backends, *settings), n_steps=n_steps, tolerance=tolerance, threads=1, **places)


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer.name=sgd",),
        ("optimizer.name=sgd", "optimizer.momentum=0.9"),
        ("optimizer.name=adam", "optimizer.lr=0.01", "schedule.name=cosine", "model.dropout=0.5"),
        ("optimizer.name=adamw",),
        ("optimizer.name=rmsprop",),
    ],
    ids=["sgd", "momentum", "adam", "adamw", "rmsprop"],
)
def test_the_engines_agree_over_100_steps_of_the_digits(settings):
    report = parity(["sklearn", "torch", "keras"], *settings, n_steps=100)
    compared = {pair.engines: pair for pair in report.pairs if pair.steps}
    assert ("torch", "keras") in compared
    if settings[0] in ("optimizer.name=sgd", "optimizer.name=adam"):
        assert len(compared) == 3
    for pair in compared.values():
        assert pair.verdict == "equal"
        assert len(pair.steps) == 100
        assert max(step.loss_difference for step in pair.steps) <= 1e-8
        assert max(step.weight_difference for step in pair.steps) <= 1e-8
        assert pair.steps[-1].losses[0] < 0.8 * pair.steps[0].losses[0]


@pytest.mark.images
def test_the_engines_agree_over_100_steps_of_fashion(image_data_dir):
    report = parity(["sklearn", "torch", "keras"], "dataset.name=fashion", n_steps=100, data_directory=image_data_dir)
    assert [pair.verdict for pair in report.pairs] == ["equal"] * 3


def test_a_convolutional_network_is_compared_too():
    backends = ["torch", "keras"]
    settings = ["model.name=cnn", "model.channels=[4]", "model.hidden=8", "training.batch_size=100"]
    configs = {b: load_experiment(None, flags={"backend": b}, settings=settings, environ={}) for b in backends}
    (pair,) = check_parity(configs, n_steps=5, tolerance=1e-8, threads=1).pairs
    assert pair.verdict == "equal"
    assert len(pair.steps) == 5


@pytest.fixture
def skewed_keras(monkeypatch):
    """In place of Keras an engine that is torch's with a factor on the learning rate, or anything else, slipped in."""

    def install(slip):
        from mlcli.engines.torch.engine import TorchEngine

        class Skewed(TorchEngine):
            def train_steps(self, order, learning_rates):
                return slip(super().train_steps, order, learning_rates)

        module = types.ModuleType("skewed_engine")
        module.Engine = Skewed
        monkeypatch.setitem(sys.modules, "skewed_engine", module)
        row = replace(registry.BACKENDS["keras"], engine="skewed_engine:Engine")
        monkeypatch.setitem(registry.BACKENDS, "keras", row)

    return install


def test_a_slip_in_one_engine_is_found_at_the_step_where_it_shows(skewed_keras):
    skewed_keras(lambda train, order, rates: train(order, rates * (1 + 1e-4)))
    report = parity(["sklearn", "torch", "keras"])
    verdicts = {pair.engines: pair for pair in report.pairs}
    assert verdicts["sklearn", "torch"].verdict == "equal"
    for engines in (("sklearn", "keras"), ("torch", "keras")):
        pair = verdicts[engines]
        assert pair.verdict == "different"
        assert pair.steps[0].loss_difference < 1e-12
        assert pair.steps[0].weight_difference > 1e-8
        assert pair.first_beyond.step == 2


def test_the_tolerance_is_on_the_loss(skewed_keras):
    skewed_keras(lambda train, order, rates: train(order, rates * (1 + 1e-4)))
    (pair,) = parity(["torch", "keras"], tolerance=0.1).pairs
    assert pair.verdict == "equal"
    assert max(step.loss_difference for step in pair.steps) > 1e-6


def test_a_loss_that_is_no_number_is_a_difference_and_ends_the_steps(skewed_keras):
    def slip(train, order, rates):
        result = train(order, rates)
        slip.n_calls += 1
        return replace(result, batch_losses=result.batch_losses * float("nan")) if slip.n_calls == 3 else result

    slip.n_calls = 0
    skewed_keras(slip)
    (pair,) = parity(["torch", "keras"]).pairs
    assert pair.verdict == "different"
    assert pair.first_beyond.step == len(pair.steps) == 3


def test_a_loss_that_is_no_number_anywhere_is_an_error():
    with pytest.raises(DivergedError, match=r"in step \d+ on sklearn, torch\n.*--lr"):
        parity(["sklearn", "torch"], "optimizer.name=sgd", "optimizer.lr=1e200")


def test_an_optimizer_that_an_engine_lacks_is_a_reason_and_the_others_are_compared():
    report = parity(["sklearn", "torch", "keras"], "optimizer.name=adamw", n_steps=2)
    verdicts = {pair.engines: pair for pair in report.pairs}
    assert verdicts["torch", "keras"].verdict == "equal"
    for engines in (("sklearn", "torch"), ("sklearn", "keras")):
        assert verdicts[engines].verdict == "not compared"
        assert "optimizer adamw cannot train mlp on scikit-learn, which has sgd, adam" in verdicts[engines].reason
    assert any("does not fail the check" in note for note in report.notes)


def test_a_fit_in_one_call_has_no_steps():
    configs = {b: load_experiment(None, flags={"backend": b, "model.name": "logistic"}) for b in ("torch", "sklearn")}
    (pair,) = check_parity(configs, n_steps=2, tolerance=1e-8, threads=1).pairs
    assert pair.verdict == "not compared"
    assert "scikit-learn fits logistic in one call" in pair.reason


def test_settings_of_one_engine_alone_are_named_in_place_of_a_comparison(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("backends:\n  torch:\n  keras: {optimizer: {lr: 0.5}}\n", encoding="utf-8")
    (pair,) = check_parity(experiments(["torch", "keras"], path=path), n_steps=2, tolerance=1e-8, threads=1).pairs
    assert pair.reason == "the configuration gives keras other settings: optimizer.lr 0.5 (on torch 0.001)"


def test_dropout_is_off_and_said_to_be():
    report = parity(["torch", "keras"], "model.dropout=0.25", n_steps=3)
    assert report.pairs[0].verdict == "equal"
    assert any("dropout is off (model.dropout 0.25)" in note for note in report.notes)


def test_the_start_is_drawn_also_where_a_run_is_named():
    report = parity(["sklearn", "torch"], "init_from.run=nowhere", n_steps=2)
    assert report.pairs[0].verdict == "equal"
    assert any("init_from is left out" in note for note in report.notes)


def test_what_single_steps_do_not_have_does_not_stand_in_the_way():
    settings = ("training.early_stopping={}", "runtime.precision=float32")
    (pair,) = parity(["sklearn", "torch"], *settings, n_steps=2).pairs
    assert max(step.loss_difference for step in pair.steps) < 1e-12


def test_steps_go_on_into_further_epochs_with_short_last_batches():
    report = parity(["sklearn", "torch"], "dataset.limit=250", "training.epochs=1", n_steps=8)
    assert len(report.pairs[0].steps) == 8
    assert report.pairs[0].verdict == "equal"


def test_no_steps_are_refused():
    with pytest.raises(UsageError, match="--steps 0"):
        parity(["sklearn", "torch"], n_steps=0)
