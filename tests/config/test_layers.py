"""How the settings of one layer merge over those of another."""

from __future__ import annotations

from mlcli.config.schema import CnnModel, CosineSchedule, EstimatorModel, InitFrom, MlpModel, RmsProp, Sgd


def test_mappings_merge_deeply(load):
    config = load(
        "training: {epochs: 3, early_stopping: {patience: 2}}\n", settings=["training.early_stopping.min_delta=0.5"]
    )
    assert config.training.epochs == 3
    assert config.training.early_stopping is not None
    assert (config.training.early_stopping.patience, config.training.early_stopping.min_delta) == (2, 0.5)


def test_another_optimizer_replaces_the_one_below_completely(load):
    text = "optimizer: {name: rmsprop, decay: 0.8, lr: 0.5}\n"
    assert load(text, flags={"optimizer.name": "sgd"}).optimizer == Sgd()
    assert load(text, flags={"optimizer.name": "sgd", "optimizer.lr": 0.3}).optimizer == Sgd(lr=0.3)
    assert load(text, flags={"optimizer.name": "rmsprop"}).optimizer == RmsProp(decay=0.8, lr=0.5)
    assert load(text, flags={"optimizer.lr": 0.3}).optimizer == RmsProp(decay=0.8, lr=0.3)


def test_another_model_or_schedule_replaces_the_one_below_even_if_that_has_no_name(load):
    text = "model: {hidden: [8]}\nschedule: {name: step, factor: 0.5}\n"
    config = load(text, flags={"model.name": "cnn"}, settings=["schedule=cosine"])
    assert (config.model, config.schedule) == (CnnModel(), CosineSchedule())
    assert load(text, flags={"model.name": "mlp"}).model == MlpModel(hidden=(8,))


def test_another_estimator_drops_the_parameters_of_the_one_below(load):
    text = "model: {name: estimator, estimator: SVC, parameters: {C: 2}}\n"
    assert load(text, settings=["model.estimator=KNeighborsClassifier"]).model == (
        EstimatorModel(estimator="KNeighborsClassifier")
    )
    assert load(text, settings=["model.parameters.gamma=1"]).model == (
        EstimatorModel(estimator="SVC", parameters={"C": 2, "gamma": 1})
    )


def test_another_dataset_keeps_splits_scaling_and_limit(load):
    dataset = load("dataset: {name: mnist, validation: 0.1, limit: 50}\n", flags={"dataset.name": "fashion"}).dataset
    assert (dataset.name, dataset.validation, dataset.limit) == ("fashion", 0.1, 50)


def test_shorthands_are_read_as_names(load):
    config = load("dataset: fashion\nmodel: cnn\noptimizer: sgd\nschedule: cosine\n")
    assert config.dataset.name == "fashion"
    assert (config.model, config.optimizer, config.schedule) == (CnnModel(), Sgd(), CosineSchedule())


def test_weights_of_another_run_drop_the_digest_of_the_one_below(load):
    text = f"init_from: {{run: a, weights: {'0f' * 32}}}\n"
    assert load(text, settings=["init_from.run=b"]).init_from == InitFrom(run="b")
    assert load(text, settings=["init_from.run=a"]).init_from == InitFrom(run="a", weights="0f" * 32)
