"""Prediction batch by batch, with the preprocessing that is stored in the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from mlcli.errors import DataError, UsageError, batch_advice, translated_memory_errors
from mlcli.experiment.stored_run import StoredRun
from mlcli.predict import PredictRequest
from mlcli.predict.readers import open_samples
from mlcli.predict.samples import SampleBatch
from mlcli.records import Scores
from mlcli.rendering.score_files import Column, check_output, class_columns, score_file
from mlcli.rendering.tables import Fields, print_summary
from mlcli.timing import Stopwatch

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
    expected = run.preprocessing
    source = open_samples(request.input, expected, array=request.array, keep=tuple(dict.fromkeys(request.keep)))
    with translated_memory_errors(batch_advice(request.batch_size)):
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        watch, counts = Stopwatch(), np.zeros(len(expected.class_names), dtype=np.int64)
        smallest, largest = np.inf, -np.inf  # raw value
        with score_file(request.output) as writer:
            for batch in source.batches():
                with watch.part("predict"):
                    scores = engine.predict(batch.x, batch_size=request.batch_size)
                _check_probabilities(scores)
                writer.write(_columns(scores, batch, int(counts.sum()), expected.class_names))
                counts += np.bincount(scores.labels, minlength=len(counts))
                if expected.value_range:
                    smallest, largest = min(smallest, float(batch.x.min())), max(largest, float(batch.x.max()))
                on_batch(int(counts.sum()), source.n_samples)
    return Prediction(
        run_id=run.record.run_id,
        backend=request.backend or run.record.backend,
        input=str(request.input),
        output=str(request.output),
        n_samples=int(counts.sum()),
        counts=dict(zip(expected.class_names, counts.tolist(), strict=True)),
        predict_seconds=watch.seconds("predict"),
        total_seconds=watch.total_seconds,
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*source.notes, *source.late_notes(), *_range_notes(expected.value_range, smallest, largest)),
    )


def _columns(scores: Scores, batch: SampleBatch, n_before: int, class_names: Sequence[str]) -> dict[str, Column]:
    """Return the columns of the output for a batch after n_before samples; kept columns come first."""
    n, names = len(scores.labels), batch.names
    first: dict[str, Column] = {"file": names} if names is not None else {"index": np.arange(n_before, n_before + n)}
    labels: dict[str, Column] = {"label": scores.labels, "class_name": [class_names[i] for i in scores.labels.tolist()]}
    columns = first | labels | class_columns("probability", scores.probabilities, class_names)
    kept = {f"{name} (input)" if name in columns else name: cells for name, cells in batch.kept.items()}
    return kept | columns


def _check_probabilities(scores: Scores) -> None:
    if scores.probabilities is not None and not np.isfinite(scores.probabilities).all():
        raise DataError("the predicted probabilities are not finite; the samples or the model's weights are too large")


def _range_notes(trained_range: tuple[float, float] | None, smallest: float, largest: float) -> list[str]:
    """Return a note if the values lie outside the range that the run was trained on, or fill little of it."""
    if trained_range is None:
        return []
    low, high = trained_range
    trained = f"the run was trained on raw values from {low:g} to {high:g}"
    if smallest >= 0 and largest <= 1 < high:
        return [f"all values lie between 0 and 1, but {trained}: multiply them by {high:g}"]
    if smallest < low or largest > high:
        return [f"values range from {smallest:g} to {largest:g}, but {trained}"]
    return []


def print_prediction(prediction: Prediction, output_format: str) -> None:
    """Print counts and times, not the predictions themselves, to stdout."""
    title = f"{prediction.n_samples:,} samples predicted with {prediction.backend}"
    document = asdict(prediction)
    row = {key: value for key, value in document.items() if key not in ("counts", "notes")}
    row |= {f"n_{name}": n for name, n in prediction.counts.items()}
    document = {"schema_version": 1, **document}
    print_summary(title, _sections(prediction), row, document, output_format)


def _sections(prediction: Prediction) -> list[Fields]:
    counts = [(name, f"{n:,}  ({n / prediction.n_samples:.1%})") for name, n in prediction.counts.items()]
    times = [
        ("predict", f"{prediction.predict_seconds:.3f} s"),
        ("read, predict and write", f"{prediction.total_seconds:.3f} s"),
        ("samples/s", f"{prediction.n_samples / prediction.total_seconds:,.0f}"),
    ]
    context = [("device", prediction.device), ("threads", str(prediction.threads))]
    return [counts, times, [*context, ("run", prediction.run_id), ("output", prediction.output)]]
