"""Models that are fitted in one call: L-BFGS, forests and their kind."""

from __future__ import annotations

from mlcli.engines.contract import Engine
from mlcli.metrics import score
from mlcli.records import Dataset, EpochRecord
from mlcli.workflows.run_progress import RunProgress


def fit_in_one_call(engine: Engine, dataset: Dataset, progress: RunProgress) -> tuple[EpochRecord, str | None]:
    """Fit, score training and validation data, and return the one row of the history, and a note where there is one."""
    watch = progress.watch
    with watch.part("first_epoch"):
        result = engine.fit()
    seconds = watch.seconds("first_epoch")
    with watch.part("validate"):
        progress.metrics["train"] = train = score(engine.predict(dataset.train.x), dataset.train.y)
        validation = None
        if dataset.validation is not None:
            validation = score(engine.predict(dataset.validation.x), dataset.validation.y)
            progress.metrics["validation"] = validation
    record = EpochRecord(
        epoch=1,
        learning_rate=None,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        seconds=seconds,
        samples_per_second=len(dataset.train) / seconds,
        is_best=True,
    )
    note = f"the solver stopped after {result.n_iterations} iterations, before it converged"
    return record, note if result.converged is False else None
