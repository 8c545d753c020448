"""Contestants that measure the overhead of `mlcli train` over the bare epochs of the engine.

A round consists of several epochs, because not every epoch ends with a checkpoint.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from contest import BATCH_SIZE, DECAY, LEARNING_RATE, N_HIDDEN, Contestant, Fashion, Round
from mlcli_engines import engine_with_data, torch_epochs

from mlcli.config.schema import ExperimentConfig, MlpModel, RmsProp
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine
from mlcli.experiment.plan import make_plan
from mlcli.records import Dataset, EpochRecord
from mlcli.runs.checkpoint import CheckpointFolder
from mlcli.train.checkpointing import AUTO
from mlcli.train.epochs import EpochLoop
from mlcli.train.run_progress import RunProgress

N_EPOCHS_A_ROUND = 5


def epochs_alone(data: Fashion) -> Contestant:
    """Train the epochs of a round with the engine alone, without checkpoints."""
    one_epoch = torch_epochs(data)

    def several_epochs() -> Round:
        return [one_epoch() for _ in range(N_EPOCHS_A_ROUND)][-1]

    return several_epochs


def epochs_with_checkpoints(data: Fashion) -> Contestant:
    """Train the epochs of a round with the epoch loop of `mlcli train`, with the default chunks and checkpoints."""
    optimizer = RmsProp(lr=LEARNING_RATE, decay=DECAY)
    config = ExperimentConfig.model_validate(
        {
            "backend": "torch",
            "dataset": {"name": "fashion"},
            "model": {"name": "mlp", "hidden": (N_HIDDEN,)},
            "optimizer": optimizer.model_dump(),
            "training": {"epochs": 10**6, "batch_size": BATCH_SIZE},
        }
    )
    engine = engine_with_data("torch", data, MlpModel(hidden=(N_HIDDEN,)), optimizer, BATCH_SIZE)
    dataset = load_dataset(config.dataset, data_dir=data.folder, offline=True)
    epochs = _epochs(config, engine, dataset, data)

    def several_epochs() -> Round:
        record = [next(epochs) for _ in range(N_EPOCHS_A_ROUND)][-1]
        return Round(record.train_loss, record.train_accuracy or 0.0)

    return several_epochs


def _epochs(config: ExperimentConfig, engine: Engine, dataset: Dataset, data: Fashion) -> Iterator[EpochRecord]:
    with tempfile.TemporaryDirectory(dir=data.folder) as run_path:
        progress = RunProgress(make_plan(config), data.threads)
        yield from EpochLoop(engine, dataset, progress, CheckpointFolder(Path(run_path)), AUTO).run()
