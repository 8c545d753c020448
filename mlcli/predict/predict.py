"""Prediction batch by batch, with the preprocessing that is stored in the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlcli.errors import DataError, UsageError, batch_advice, translated_memory_errors
from mlcli.experiment.stored_run import StoredRun
from mlcli.predict.readers import open_samples
from mlcli.predict.samples import SampleBatch
from mlcli.predict.writers import check_output, prediction_output
from mlcli.records import Preprocessing, Scores
from mlcli.timing import Stopwatch

if TYPE_CHECKING:
    from mlcli.predict import PredictRequest

OnBatch = Callable[[int, int | None], None]  # called with the samples done, and all samples if their number is known


@dataclass(frozen=True)
class Prediction:
    """A summary of what was predicted and written."""

    run_id: str
    backend: str  # the engine that predicted
    input: str
    output: str
    n_samples: int
    counts: Mapping[str, int]  # samples by predicted class
    predict_seconds: float  # in the engine alone, without reading and writing
    total_seconds: float
    device: str
    threads: int
    notes: tuple[str, ...]


def predict(run: StoredRun, request: PredictRequest, on_batch: OnBatch) -> Prediction:
    """Write the predicted class and, if the model has them, the probabilities of every sample of the input.

    UsageError for files that cannot be read or written, DataError for samples that do not fit the run; no output is
    written then.
    """
    check_output(request.output, force=request.force)
    if request.output.exists() and request.input.exists() and request.output.samefile(request.input):
        raise UsageError(f"--output {request.output}: is the input; choose another name")
    source = open_samples(request.input, run.preprocessing, array=request.array)
    with translated_memory_errors(batch_advice(request.batch_size)):
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        tally, watch = _Tally(run.preprocessing), Stopwatch()
        with prediction_output(request.output, run.preprocessing.class_names) as writer:
            for batch in source.batches():
                with watch.part("predict"):
                    scores = engine.predict(batch.x, batch_size=request.batch_size)
                _check_probabilities(scores)
                writer.write(scores, batch.names)
                tally.add(batch, scores)
                on_batch(tally.n_samples, source.n_samples)
    return Prediction(
        run_id=run.record.run_id,
        backend=request.backend or run.record.backend,
        input=str(request.input),
        output=str(request.output),
        n_samples=tally.n_samples,
        counts=dict(zip(run.preprocessing.class_names, tally.counts.tolist(), strict=True)),
        predict_seconds=watch.seconds("predict"),
        total_seconds=watch.total_seconds,
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*source.notes, *tally.range_notes()),
    )


def _check_probabilities(scores: Scores) -> None:
    if scores.probabilities is not None and not np.isfinite(scores.probabilities).all():
        raise DataError("the predicted probabilities are not finite; the samples or the model's weights are too large")


class _Tally:
    """Counts samples by predicted class, and keeps the smallest and largest raw value."""

    def __init__(self, expected: Preprocessing) -> None:
        self._value_range = expected.value_range
        self._smallest, self._largest = np.inf, -np.inf
        self.counts = np.zeros(len(expected.class_names), dtype=np.int64)

    @property
    def n_samples(self) -> int:
        return int(self.counts.sum())

    def add(self, batch: SampleBatch, scores: Scores) -> None:
        self.counts += np.bincount(scores.labels, minlength=len(self.counts))
        if self._value_range is not None:
            self._smallest = min(self._smallest, float(batch.x.min()))
            self._largest = max(self._largest, float(batch.x.max()))

    def range_notes(self) -> list[str]:
        """Return a note if the values lie outside the range that the run was trained on, or fill little of it."""
        if self._value_range is None:
            return []
        smallest, largest = self._value_range
        trained = f"the run was trained on raw values from {smallest:g} to {largest:g}"
        if self._smallest >= 0 and self._largest <= 1 < largest:
            return [f"all values lie between 0 and 1, but {trained}: multiply them by {largest:g}"]
        if self._smallest < smallest or self._largest > largest:
            return [f"values range from {self._smallest:g} to {self._largest:g}, but {trained}"]
        return []
