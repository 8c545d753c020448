"""The engine contract as executable checks: one suite for every engine, every kind of model, and a fake engine."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from mlcli.config.schema import Adam, CnnModel, EstimatorModel, Lbfgs, LogisticModel, MlpModel, Sgd
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.errors import UsageError
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights
from mlcli.records import Scaling, Scores, StepResults

SEED = 7


class FakeEngine(Engine):
    """Softmax regression by gradient descent in numpy: the shortest implementation of the contract."""

    device = "cpu"

    def __init__(self, spec, weights):
        self.spec = spec
        self.w, self.b = (np.array(weights[name], dtype=float) for name in spec.network.parameter_shapes())

    def _scaled(self, x):
        return x.reshape(len(x), -1) / self.spec.scaling.scale

    def place(self, x, y):
        self.x, self.y = self._scaled(x), y

    def train_steps(self, order, learning_rates):
        losses, sizes, n_correct = [], [], 0
        for step, lr in enumerate(learning_rates):
            index = order[step * self.spec.batch_size : (step + 1) * self.spec.batch_size]
            x, y = self.x[index], self.y[index]
            logits = x @ self.w.T + self.b
            p = _softmax(logits)
            losses.append(_cross_entropy(logits, y))
            sizes.append(len(y))
            n_correct += int((p.argmax(1) == y).sum())
            p[np.arange(len(y)), y] -= 1
            self.w -= lr * p.T @ x / len(y)
            self.b -= lr * p.mean(0)
        return StepResults(np.array(losses), np.array(sizes), n_correct)

    def predict(self, x, batch_size=1024):
        logits = (self._scaled(x) @ self.w.T + self.b).astype(np.float32)
        return Scores(logits.argmax(1), logits, _softmax(logits))

    def weights(self):
        names = self.spec.network.parameter_shapes()
        return dict(zip(names, (self.w.copy(), self.b.copy()), strict=True))

    def load_weights(self, weights):
        self.w, self.b = (np.array(weights[name], dtype=float) for name in self.spec.network.parameter_shapes())


def _softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _cross_entropy(logits, y):
    return float((logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]).mean())


@dataclass(frozen=True)
class Case:
    backend: str
    model: Any
    optimizer: Any
    batch_size: int | None = 64

    @property
    def is_iterative(self):
        return self.batch_size is not None


FOREST = EstimatorModel(estimator="RandomForestClassifier", parameters={"n_estimators": 20})
PIPELINE = EstimatorModel(estimator="Pipeline", parameters={"steps": ["StandardScaler", "LinearDiscriminantAnalysis"]})
ITERATIVE = {
    f"{backend}-{label}": Case(backend, model, optimizer)
    for backend in ("torch", "keras")
    for label, model, optimizer in (
        ("logistic", LogisticModel(), Sgd(lr=0.5)),
        ("mlp", MlpModel(hidden=(32,)), Adam(lr=3e-3)),
        ("mlp-dropout", MlpModel(hidden=(32,), dropout=0.2), Sgd(lr=0.1, momentum=0.9)),
        ("mlp-softmax", MlpModel(hidden=(32,), output="softmax", activation="gelu"), Adam(lr=3e-3)),
        ("cnn", CnnModel(channels=(8,), hidden=32), Adam(lr=3e-3)),
    )
} | {
    "sklearn-mlp": Case("sklearn", MlpModel(hidden=(32,)), Adam(lr=3e-3)),
    "sklearn-mlp-sgd": Case("sklearn", MlpModel(hidden=(32, 16), activation="tanh"), Sgd(lr=0.1, momentum=0.9)),
    "fake-logistic": Case("fake", LogisticModel(), Sgd(lr=0.5)),
}
SINGLE_FIT = {
    "sklearn-logistic": Case("sklearn", LogisticModel(), Lbfgs(), batch_size=None),
    "sklearn-forest": Case("sklearn", FOREST, None, batch_size=None),
    "sklearn-pipeline": Case("sklearn", PIPELINE, None, batch_size=None),
    "sklearn-svc": Case("sklearn", EstimatorModel(estimator="LinearSVC"), None, batch_size=None),
}
ALL = ITERATIVE | SINGLE_FIT


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x.astype(np.uint8).reshape(-1, 1, 8, 8), y.astype(np.int64)


BYTES = Scaling("unit", None, 16.0)


def make(case, device="cpu", scaling=BYTES, **runtime):
    network = None if isinstance(case.model, EstimatorModel) else build_network(case.model, (1, 8, 8), 10)
    spec = EngineSpec(
        model=case.model,
        network=network,
        n_classes=10,
        optimizer=case.optimizer,
        batch_size=case.batch_size,
        scaling=scaling,
        runtime=EngineRuntime(device=device, threads=1, seed=SEED, **runtime),
    )
    weights = None if network is None else as_precision(initial_weights(network, SEED), spec.runtime.precision)
    if case.backend == "fake":
        return FakeEngine(spec, weights), weights
    return build_engine(case.backend, spec, weights), weights


def epoch(engine, case, number, n):
    order = np.random.default_rng(number).permutation(n)
    steps = -(-n // case.batch_size)
    return engine.train_steps(order, np.full(steps, case.optimizer.lr))


def trained(case, digits, n_epochs=3, device="cpu"):
    x, y = digits
    engine, _ = make(case, device)
    engine.place(x[:1500], y[:1500])
    results = []
    if case.is_iterative:
        results += [epoch(engine, case, number, 1500) for number in range(n_epochs)]
    else:
        results.append(engine.fit())
    return engine, results


def parametrize(cases):
    return pytest.mark.parametrize("case", list(cases.values()), ids=list(cases))


@parametrize(ALL)
def test_an_engine_learns_and_predicts(case, digits):
    engine, results = trained(case, digits, n_epochs=12 if case.is_iterative else 1)
    x, y = digits
    scores = engine.predict(x[1500:])
    assert (scores.labels == y[1500:]).mean() > 0.85
    if case.is_iterative:
        assert results[-1].loss < results[0].loss
        assert results[-1].accuracy > results[0].accuracy


@parametrize(ITERATIVE)
def test_weights_are_those_given(case, digits):
    engine, weights = make(case)
    returned = engine.weights()
    assert list(returned) == list(weights)
    for name, array in weights.items():
        assert returned[name].flags.c_contiguous
        np.testing.assert_array_equal(returned[name], array)


@parametrize({name: case for name, case in ALL.items() if case.backend != "fake"})
def test_native_shapes_hold_every_canonical_weight_and_estimators_have_parameters(case):
    engine, weights = make(case)
    shapes = engine.native_shapes()
    assert list(shapes) == list(weights or {})
    for name, (_, shape) in shapes.items():
        assert sorted(shape) == sorted(weights[name].shape)
    assert bool(engine.parameters()) == (weights is None)


@parametrize(ALL)
def test_scores_have_the_promised_shapes_and_types(case, digits):
    engine, _ = trained(case, digits, n_epochs=1)
    scores = engine.predict(digits[0][:50])
    assert scores.labels.shape == (50,)
    assert scores.labels.dtype == np.int64
    for array in (scores.logits, scores.probabilities):
        if array is not None:
            assert array.shape == (50, 10)
            assert array.dtype == (np.float64 if isinstance(case.model, EstimatorModel) else np.float32)
            np.testing.assert_array_equal(array.argmax(1), scores.labels)
    if scores.probabilities is not None:
        np.testing.assert_allclose(scores.probabilities.sum(1), 1, atol=1e-5)


@parametrize(ALL)
def test_prediction_does_not_depend_on_the_batch_size(case, digits):
    engine, _ = trained(case, digits)
    x = digits[0][:300]
    whole, small, single = (engine.predict(x, batch_size=size) for size in (300, 7, 1))
    for other in (small, single):
        np.testing.assert_array_equal(whole.labels, other.labels)
        for name in ("logits", "probabilities"):
            expected = getattr(whole, name)
            if expected is not None:
                np.testing.assert_allclose(getattr(other, name), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@parametrize(ITERATIVE)
def test_prediction_leaves_training_untouched(case, digits):
    x, y = digits
    left, _ = make(case)
    left.place(x, y)
    epoch(left, case, 0, len(x))
    left.predict(x[:100])
    epoch(left, case, 1, len(x))
    left_weights = left.weights()
    right, _ = make(case)
    right.place(x, y)
    epoch(right, case, 0, len(x))
    epoch(right, case, 1, len(x))
    for name, array in right.weights().items():
        np.testing.assert_array_equal(left_weights[name], array)


@parametrize(ITERATIVE)
def test_the_order_decides_what_is_learned(case, digits):
    x, y = digits
    weights = []
    for order in (np.arange(1500), np.arange(1500), np.arange(1500)[::-1].copy()):
        engine, _ = make(case)
        engine.place(x[:1500], y[:1500])
        engine.train_steps(order, np.full(24, case.optimizer.lr))
        weights.append(engine.weights())
    first = next(name for name in weights[0] if name.endswith("weight"))
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])
    assert not np.array_equal(weights[0][first], weights[2][first])


@parametrize(ITERATIVE)
def test_an_epoch_uses_each_listed_sample_once_and_no_other(case, digits):
    """Training on a permuted copy in plain order is the same as training on the original in permuted order."""
    x, y = digits
    order = np.random.default_rng(5).permutation(1000)
    left, _ = make(case)
    left.place(x[:1000], y[:1000])
    left_result = left.train_steps(order, np.full(16, case.optimizer.lr))
    right, _ = make(case)
    right.place(x[:1000][order], y[:1000][order])
    right_result = right.train_steps(np.arange(1000), np.full(16, case.optimizer.lr))
    assert (left_result.loss, left_result.accuracy) == (right_result.loss, right_result.accuracy)
    left_weights = left.weights()
    for name, array in right.weights().items():
        np.testing.assert_array_equal(left_weights[name], array)


@parametrize(ITERATIVE)
def test_an_epoch_in_several_calls_is_bit_identical_to_one_in_a_single_call(case, digits):
    x, y = digits
    order = np.random.default_rng(6).permutation(1000)
    rates = case.optimizer.lr * (1 + 0.5 * np.sin(np.arange(16)))
    whole, _ = make(case)
    whole.place(x[:1000], y[:1000])
    expected = whole.train_steps(order, rates)
    parted, _ = make(case)
    parted.place(x[:1000], y[:1000])
    bounds = [0, 1, 3, 9, 16]
    parts = [
        parted.train_steps(order[64 * start : 64 * stop], rates[start:stop])
        for start, stop in itertools.pairwise(bounds)
    ]
    np.testing.assert_array_equal(np.concatenate([part.batch_losses for part in parts]), expected.batch_losses)
    assert np.concatenate([part.batch_sizes for part in parts]).tolist() == expected.batch_sizes.tolist()
    assert sum(part.n_correct for part in parts) == expected.n_correct
    parted_weights = parted.weights()
    for name, array in whole.weights().items():
        np.testing.assert_array_equal(parted_weights[name], array)


def test_a_model_that_needs_all_samples_at_once_says_so_if_they_do_not_fit(digits, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", digits[0])
    monkeypatch.setattr("mlcli.engines.sklearn.base.available_bytes", lambda: 1000)
    engine, _ = make(SINGLE_FIT["sklearn-logistic"])
    with pytest.raises(
        MemoryError, match="fitted to all samples at once, which take 460,032 bytes, and 1,000 are free"
    ):
        engine.place(np.load(tmp_path / "x.npy", mmap_mode="r"), digits[1])


@pytest.mark.parametrize("name", ["torch-mlp-dropout", "torch-cnn", "keras-logistic", "sklearn-mlp"])
@pytest.mark.parametrize("is_table", [False, True])
def test_training_from_a_mapped_file_is_bit_identical_to_training_from_memory(name, is_table, digits, tmp_path):
    case, (x, y) = ITERATIVE[name], digits
    if is_table and name == "torch-cnn":
        case = ITERATIVE["torch-logistic"]
    scaling = BYTES
    if is_table:
        x = x.reshape(len(x), 1, 8, 8) * 1.1
        scaling = Scaling("standard", x.mean(axis=0), x.std(axis=0) + 0.1)
    np.save(tmp_path / "x.npy", x)
    results = []
    for samples in ("memory", "mapped"):
        engine, _ = make(case, scaling=scaling, samples=samples)
        engine.place(np.load(tmp_path / "x.npy", mmap_mode="r"), y)
        losses = [epoch(engine, case, number, len(x)).batch_losses for number in range(2)]
        results.append((engine.weights(), losses, engine.predict(x[:100]).logits))
    np.testing.assert_equal(results[0], results[1])


@parametrize({name: case for name, case in ITERATIVE.items() if "dropout" not in name})
def test_the_loss_of_each_batch_is_that_before_its_update(case, digits):
    """With a single batch, the reported results are those of the initial weights."""
    x, y = digits
    engine, _ = make(replace(case, batch_size=len(x)))
    engine.place(x, y)
    scores = engine.predict(x)
    chosen = scores.probabilities[np.arange(len(y)), y].astype(np.float64)
    result = engine.train_steps(np.arange(len(x)), np.array([case.optimizer.lr]))
    assert result.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert result.accuracy == pytest.approx((scores.labels == y).mean(), abs=1e-9)


@parametrize({name: case for name, case in ITERATIVE.items() if "dropout" not in name})
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_loss_is_true_where_probabilities_underflow(case, precision, digits):
    """The smallest positive numbers are exp(-103) in float32 and exp(-745) in float64."""
    x, y = digits
    engine, weights = make(replace(case, batch_size=len(x)), precision=precision)
    engine.load_weights({name: array * 1000 for name, array in weights.items()})
    engine.place(x, y)
    scores = engine.predict(x)
    result = engine.train_steps(np.arange(len(x)), np.array([case.optimizer.lr]))
    expected = _cross_entropy(scores.logits.astype(np.float64), y)
    assert expected > 1000 or case.model.name == "logistic"
    assert result.loss == pytest.approx(expected, rel=1e-6)
    assert result.accuracy == pytest.approx((scores.labels == y).mean(), abs=1e-9)


@parametrize(ITERATIVE)
def test_training_resumed_from_state_and_weights_is_bit_identical(case, digits):
    x, y = digits
    whole, _ = trained(case, digits, n_epochs=3)
    expected = whole.weights()
    half, _ = trained(case, digits, n_epochs=1)
    weights, state = half.weights(), half.state()
    resumed, _ = make(case)
    resumed.place(x[:1500], y[:1500])
    resumed.load_weights(weights)
    resumed.load_state(state)
    for number in (1, 2):
        epoch(resumed, case, number, 1500)
    for name, array in resumed.weights().items():
        np.testing.assert_array_equal(expected[name], array)


@parametrize(ITERATIVE)
def test_learning_rates_act_step_by_step(case, digits):
    """A step with a learning rate of almost zero keeps the weights; the next step changes them."""
    x, y = digits
    engine, initial = make(case)
    engine.place(x[:64], y[:64])
    name = list(initial)[-1]
    engine.train_steps(np.arange(64), np.array([1e-30]))
    np.testing.assert_allclose(engine.weights()[name], initial[name], atol=1e-12)
    engine.train_steps(np.arange(64), np.array([case.optimizer.lr]))
    assert np.abs(engine.weights()[name] - initial[name]).max() > 1e-5


@parametrize({name: case for name, case in ALL.items() if case.backend != "fake"})
def test_the_data_given_is_not_changed(case, digits):
    x, y = digits[0].copy(), digits[1].copy()
    engine, _ = make(case)
    engine.place(x, y)
    if case.is_iterative:
        epoch(engine, case, 0, len(x))
    else:
        engine.fit()
    engine.predict(x)
    np.testing.assert_array_equal(x, digits[0])
    np.testing.assert_array_equal(y, digits[1])


@parametrize(ALL)
def test_the_unsupported_kind_of_training_is_a_usage_error(case, digits):
    engine, _ = make(case)
    engine.place(digits[0][:200], digits[1][:200])
    with pytest.raises(UsageError):
        engine.fit() if case.is_iterative else engine.train_steps(np.arange(200), np.full(4, 0.1))


@parametrize({name: case for name, case in ITERATIVE.items() if case.backend != "fake"})
def test_weights_that_do_not_fit_are_a_usage_error(case):
    engine, weights = make(case)
    first = next(iter(weights))
    with pytest.raises(UsageError, match="shape"):
        engine.load_weights(weights | {first: np.zeros((2, 3))})
    with pytest.raises(UsageError, match="missing"):
        engine.load_weights({name: array for name, array in weights.items() if name != first})


REAL = {name: case for name, case in ALL.items() if case.backend != "fake"}
STEPPING = {name: case for name, case in ITERATIVE.items() if case.backend != "fake"}


@parametrize(STEPPING)
@pytest.mark.parametrize("include_transfer", [False, True])
def test_a_benchmark_takes_the_steps_of_training(case, digits, include_transfer):
    x, y = digits
    trained_engine, _ = make(case)
    trained_engine.place(x[:320], y[:320])
    trained_engine.train_steps(np.arange(320), np.full(5, case.optimizer.lr))
    timed_engine, _ = make(case)
    bench = timed_engine.bench(x, y, include_transfer=include_transfer)
    bench.train(bench.batches([0, 64, 128], 64), case.optimizer.lr)
    bench.train(bench.batches([192, 256], 64), case.optimizer.lr)
    timed = timed_engine.weights()
    for name, array in trained_engine.weights().items():
        np.testing.assert_allclose(timed[name], array, rtol=0, atol=1e-6)


@parametrize(REAL)
def test_a_benchmark_predicts_without_changing_anything(case, digits):
    x, y = digits
    engine, _ = trained(case, digits, n_epochs=1)
    before = engine.predict(x[:50])
    bench = engine.bench(x, y)
    bench.forward(bench.batches([0, 100, 1700], 30))
    np.testing.assert_array_equal(engine.predict(x[:50]).labels, before.labels)
    if not case.is_iterative:
        with pytest.raises(UsageError, match="single fit"):
            bench.train(bench.batches([0], 30), 0.1)


@parametrize({name: case for name, case in STEPPING.items() if "dropout" not in name})
def test_a_training_step_of_a_benchmark_averages_over_its_batch(case, digits):
    """A step on a batch with each sample twice equals a step on each sample once."""
    x, y = digits[0][:40], digits[1][:40]
    weights = []
    for n_copies in (1, 2):
        engine, _ = make(case)
        bench = engine.bench(np.concatenate([x] * n_copies), np.concatenate([y] * n_copies))
        bench.train(bench.batches([0], 40 * n_copies), case.optimizer.lr)
        weights.append(engine.weights())
    for name, array in weights[0].items():
        np.testing.assert_allclose(weights[1][name], array, rtol=0, atol=1e-5)


@parametrize(REAL)
def test_a_benchmark_has_block_durations_and_multiplies_matrices(case, digits):
    engine, _ = trained(case, digits, n_epochs=1)
    bench = engine.bench(*digits)
    assert set(bench.block_seconds) == ({"forward", "train"} if case.is_iterative else {"forward"})
    bench.matrix_product(8)()
    bench.start_memory_watch()
    bench.release_memory()
    assert bench.peak_memory_bytes() is None  # the model lives in host memory


@pytest.mark.parametrize("backend", ["torch", "keras"])
def test_bfloat16_products_round_and_leave_weights_and_scores_in_float32(backend, digits):
    case = Case(backend, MlpModel(hidden=(32,)), Adam(lr=3e-3))
    exact, _ = make(case)
    rounded, _ = make(case, matmul_precision="bf16")
    x, y = digits
    difference = np.abs(rounded.predict(x).logits - exact.predict(x).logits).max()
    assert 1e-6 < difference < 0.1
    rounded.place(x[:1500], y[:1500])
    for number in range(5):
        epoch(rounded, case, number, 1500)
    assert {array.dtype for array in rounded.weights().values()} == {np.dtype(np.float32)}
    assert (rounded.predict(x[1500:]).labels == y[1500:]).mean() > 0.8


def test_reduced_precision_or_compilation_that_an_engine_lacks_is_a_usage_error(digits):
    mlp, adam = MlpModel(hidden=(32,)), Adam()
    for backend, runtime, message in (
        ("sklearn", {"matmul_precision": "bf16"}, "--precision bf16.*torch or keras"),
        ("sklearn", {"compiled": True}, "--compile.*--backend torch"),
        ("keras", {"compiled": True}, "--compile.*--backend torch"),
        ("torch", {"matmul_precision": "tf32"}, "--precision tf32: only NVIDIA"),
    ):
        with pytest.raises(UsageError, match=message):
            make(Case(backend, mlp, adam), **runtime)


@parametrize({name: case for name, case in ITERATIVE.items() if case.backend in ("torch", "keras")})
@pytest.mark.gpu
def test_a_gpu_learns_what_the_cpu_learns(case, digits, cuda):
    cpu, _ = trained(case, digits, n_epochs=10)
    gpu, _ = trained(case, digits, n_epochs=10, device=cuda)
    assert gpu.device.startswith("cuda")
    x, y = digits
    accuracies = [(engine.predict(x[1500:]).labels == y[1500:]).mean() for engine in (cpu, gpu)]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.03)


@pytest.mark.gpu
def test_logistic_regression_of_scikit_learn_fits_on_a_gpu(digits, cuda):
    case = SINGLE_FIT["sklearn-logistic"]
    cpu, _ = trained(case, digits)
    gpu, _ = trained(case, digits, device=cuda)
    assert gpu.device.startswith("cuda")
    agreement = (cpu.predict(digits[0]).labels == gpu.predict(digits[0]).labels).mean()
    assert agreement > 0.99
    assert all(isinstance(array, np.ndarray) for array in gpu.weights().values())
