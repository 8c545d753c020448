"""Label new samples with a stored run, batch by batch, with the run's own preprocessing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlcli.engines.contract import Engine
from mlcli.errors import DataError, UsageError
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.experiment.stored_run import StoredRun
from mlcli.predict.readers import SampleBatch, SampleSource, open_samples
from mlcli.predict.writers import PredictionWriter, check_output, prediction_output
from mlcli.records import Prediction, Preprocessing, Scores
from mlcli.timing import Stopwatch

# Told how many samples are done, and of how many where that is known.
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class PredictionRequest:
    """What to label, and where to write it. None: as in the run. array: which one of an .npz file."""

    input: Path
    output: Path
    array: str | None = None
    force: bool = False
    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    batch_size: int = 1024


def predict(run: StoredRun, request: PredictionRequest, report: Report) -> Prediction:
    """Write a label and, where the model has them, probabilities for every sample of the input.

    UsageError for files that cannot be read or written, DataError for samples that are not what the run expects;
    then nothing is written.
    """
    check_output(request.output, force=request.force)
    if request.output.exists() and request.input.exists() and request.output.samefile(request.input):
        raise UsageError(f"--output {request.output}: this is the input")
    source = open_samples(request.input, run.preprocessing, array=request.array)
    with translated_memory_errors(batch_advice(request.batch_size)):
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        with prediction_output(request.output, run.preprocessing.class_names) as writer:
            labelling = _Labelling(engine, run.preprocessing, request.batch_size)
            labelling.run(source, writer, report)
    counts = dict(zip(run.preprocessing.class_names, labelling.counts.tolist(), strict=True))
    return Prediction(
        run_id=run.record.run_id,
        backend=request.backend or run.record.backend,
        input=str(request.input),
        output=str(request.output),
        n_samples=sum(counts.values()),
        counts=counts,
        predict_seconds=labelling.watch.seconds("predict"),
        total_seconds=labelling.watch.total_seconds,
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*source.notes, *labelling.notes()),
    )


class _Labelling:
    def __init__(self, engine: Engine, preprocessing: Preprocessing, batch_size: int) -> None:
        self._engine = engine
        self._expected = preprocessing
        self._batch_size = batch_size
        self._smallest, self._largest = np.inf, -np.inf
        self.counts = np.zeros(len(preprocessing.class_names), dtype=np.int64)
        self.watch = Stopwatch()

    def run(self, source: SampleSource, writer: PredictionWriter, report: Report) -> None:
        n_done = 0
        for batch in source.batches():
            scores = self._scores(batch)
            writer.write(scores, batch.names)
            self.counts += np.bincount(scores.labels, minlength=len(self.counts))
            n_done += len(batch.x)
            report(n_done, source.n_samples)

    def _scores(self, batch: SampleBatch) -> Scores:
        if self._expected.value_range is not None:
            self._smallest = min(self._smallest, float(batch.x.min()))
            self._largest = max(self._largest, float(batch.x.max()))
        with self.watch.part("predict"):
            scores = self._engine.predict(batch.x, batch_size=self._batch_size)
        if scores.probabilities is not None and not np.isfinite(scores.probabilities).all():
            raise DataError(
                "the model gives probabilities that are not numbers: its weights or the samples are too large"
            )
        return scores

    def notes(self) -> list[str]:
        """Whether the values lie where the run's data lay."""
        if self._expected.value_range is None:
            return []
        smallest, largest = self._expected.value_range
        own = f"the run was trained on raw values {smallest:g} to {largest:g}"
        if self._smallest >= 0 and self._largest <= 1 < largest:
            return [f"all values lie between 0 and 1, but {own}: multiply them by {largest:g}"]
        if self._smallest < smallest or self._largest > largest:
            return [f"values go from {self._smallest:g} to {self._largest:g}, but {own}"]
        return []
