"""Parity detects equal engines and a fault in one of them, and gives the reason if a pair cannot be compared."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest

from mlcli import registry
from mlcli.config.experiment import load_experiment
from mlcli.errors import DivergedError, UsageError
from mlcli.parity import ParityRequest
from mlcli.parity.parity import check_parity

SMALL = ["model.hidden=[16]", "training.batch_size=100"]


def experiments(backends, *settings, path=None):
    return {
        backend: load_experiment(path, flags={"backend": backend}, settings=[*SMALL, *settings], environ={})
        for backend in backends
    }


def check(experiments, n_steps=20, **options):
    return check_parity(experiments, ParityRequest("", n_steps=n_steps, **options), threads=1)


def parity(backends, *settings, **options):
    return check(experiments(backends, *settings), **options)


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
        assert pair.steps[-1].first_loss < 0.8 * pair.steps[0].first_loss


UNSCALED = ("dataset.scaling=none", "optimizer.name=sgd", "model.hidden=[256]")


@pytest.mark.parametrize(
    ("backends", "output"), [(["sklearn", "torch", "keras"], "logits"), (["torch", "keras"], "softmax")]
)
def test_losses_agree_where_probabilities_underflow(backends, output):
    """Samples that are not scaled give logits of hundreds, and some probabilities are zero even in float64."""
    report = parity(backends, *UNSCALED, f"model.output={output}", n_steps=10)
    assert [pair.verdict for pair in report.pairs] == ["equal"] * len(report.pairs)
    assert max(step.first_loss for step in report.pairs[0].steps) > 100


@pytest.mark.images
def test_losses_on_unscaled_mnist_agree(image_data_dir):
    report = parity(["sklearn", "torch", "keras"], *UNSCALED, "dataset.name=mnist", n_steps=3, data_dir=image_data_dir)
    assert [pair.verdict for pair in report.pairs] == ["equal"] * 3
    assert max(step.first_loss for step in report.pairs[0].steps) > 1000


@pytest.mark.images
def test_the_engines_agree_over_100_steps_of_fashion(image_data_dir):
    report = parity(["sklearn", "torch", "keras"], "dataset.name=fashion", n_steps=100, data_dir=image_data_dir)
    assert [pair.verdict for pair in report.pairs] == ["equal"] * 3


def test_a_convolutional_network_is_compared_too():
    backends = ["torch", "keras"]
    settings = ["model.name=cnn", "model.channels=[4]", "model.hidden=8", "training.batch_size=100"]
    configs = {b: load_experiment(None, flags={"backend": b}, settings=settings, environ={}) for b in backends}
    (pair,) = check(configs, n_steps=5).pairs
    assert pair.verdict == "equal"
    assert len(pair.steps) == 5


@pytest.fixture
def faulty_keras(monkeypatch):
    """Replace the Keras engine by the PyTorch engine with a fault in its training steps."""

    def install(fault):
        from mlcli.engines.torch.engine import TorchEngine

        class FaultyEngine(TorchEngine):
            def train_steps(self, order, learning_rates):
                return fault(super().train_steps, order, learning_rates)

        module = types.ModuleType("faulty_engine")
        module.Engine = FaultyEngine
        monkeypatch.setitem(sys.modules, "faulty_engine", module)
        row = replace(registry.BACKENDS["keras"], engine="faulty_engine:Engine")
        monkeypatch.setitem(registry.BACKENDS, "keras", row)

    return install


def test_a_fault_in_one_engine_is_found_at_the_first_step_with_another_loss(faulty_keras):
    faulty_keras(lambda train, order, rates: train(order, rates * (1 + 1e-4)))
    report = parity(["sklearn", "torch", "keras"])
    verdicts = {pair.engines: pair for pair in report.pairs}
    assert verdicts["sklearn", "torch"].verdict == "equal"
    for engines in (("sklearn", "keras"), ("torch", "keras")):
        pair = verdicts[engines]
        assert pair.verdict == "different"
        assert pair.steps[0].loss_difference < 1e-12
        assert pair.steps[0].weight_difference > 1e-8
        assert pair.first_beyond.step == 2


def test_the_tolerance_applies_to_the_loss(faulty_keras):
    faulty_keras(lambda train, order, rates: train(order, rates * (1 + 1e-4)))
    (pair,) = parity(["torch", "keras"], tolerance=0.1).pairs
    assert pair.verdict == "equal"
    assert max(step.loss_difference for step in pair.steps) > 1e-6


def test_a_loss_of_nan_is_a_difference_and_ends_the_steps(faulty_keras):
    def fault(train, order, rates):
        result = train(order, rates)
        fault.n_calls += 1
        return replace(result, batch_losses=result.batch_losses * float("nan")) if fault.n_calls == 3 else result

    fault.n_calls = 0
    faulty_keras(fault)
    (pair,) = parity(["torch", "keras"]).pairs
    assert pair.verdict == "different"
    assert pair.first_beyond.step == len(pair.steps) == 3


def test_losses_of_nan_on_every_engine_are_an_error():
    with pytest.raises(DivergedError, match=r"in step \d+ on sklearn, torch\n.*--lr"):
        parity(["sklearn", "torch"], "optimizer.name=sgd", "optimizer.lr=1e200")


def test_engines_that_lack_the_optimizer_are_not_compared_but_the_others_are():
    report = parity(["sklearn", "torch", "keras"], "optimizer.name=adamw", n_steps=2)
    verdicts = {pair.engines: pair for pair in report.pairs}
    assert verdicts["torch", "keras"].verdict == "equal"
    for engines in (("sklearn", "torch"), ("sklearn", "keras")):
        assert verdicts[engines].verdict == "not compared"
        assert "optimizer adamw cannot train mlp on scikit-learn, which has sgd, adam" in verdicts[engines].reason
    assert any("do not fail the check" in note for note in report.notes)


def test_a_single_fit_has_no_steps():
    configs = {b: load_experiment(None, flags={"backend": b, "model.name": "logistic"}) for b in ("torch", "sklearn")}
    (pair,) = check(configs, n_steps=2).pairs
    assert pair.verdict == "not compared"
    assert "scikit-learn trains logistic with a single fit" in pair.reason


def test_different_settings_of_one_engine_are_the_reason(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("backends:\n  torch:\n  keras: {optimizer: {lr: 0.5}}\n", encoding="utf-8")
    (pair,) = check(experiments(["torch", "keras"], path=path), n_steps=2).pairs
    assert pair.reason == "the configuration has other settings for keras: optimizer.lr 0.5 (on torch 0.001)"


def test_dropout_is_off_with_a_note():
    report = parity(["torch", "keras"], "model.dropout=0.25", n_steps=3)
    assert report.pairs[0].verdict == "equal"
    assert any("dropout is off (model.dropout 0.25)" in note for note in report.notes)


def test_initial_weights_are_drawn_even_if_init_from_names_a_run():
    report = parity(["sklearn", "torch"], "init_from.run=nowhere", n_steps=2)
    assert report.pairs[0].verdict == "equal"
    assert any("init_from is ignored" in note for note in report.notes)


def test_early_stopping_and_precision_are_ignored():
    settings = ("training.early_stopping={}", "runtime.precision=float32")
    (pair,) = parity(["sklearn", "torch"], *settings, n_steps=2).pairs
    assert max(step.loss_difference for step in pair.steps) < 1e-12


def test_steps_continue_into_further_epochs_with_short_last_batches():
    report = parity(["sklearn", "torch"], "dataset.limit=250", "training.epochs=1", n_steps=8)
    assert len(report.pairs[0].steps) == 8
    assert report.pairs[0].verdict == "equal"


def test_zero_steps_are_refused():
    with pytest.raises(UsageError, match="--steps 0"):
        parity(["sklearn", "torch"], n_steps=0)
