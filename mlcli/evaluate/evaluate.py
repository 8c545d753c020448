"""Score a stored run again: its weights, in its own engine or another one, on one split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlcli.engines.contract import Engine
from mlcli.errors import UsageError
from mlcli.evaluate.records import Evaluation, PredictionTime
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.experiment.stored_run import StoredRun
from mlcli.metrics import score
from mlcli.metrics.calibration import calibration
from mlcli.metrics.mistakes import confident_mistakes
from mlcli.metrics.scores import class_scores, confusion_matrix, macro_average
from mlcli.records import Dataset, Metrics, Scores, Split, SplitName
from mlcli.timing import timed_calls

N_WARM_CALLS = 5
_MAX_SECONDS = 5.0  # after which no further warm call is begun


@dataclass(frozen=True)
class EvaluationRequest:
    """What to score, and how. None: as in the run."""

    split: SplitName = "test"
    backend: str | None = None
    dataset: str | None = None
    device: str | None = None
    threads: int | None = None
    batch_size: int = 1024
    n_misclassified: int = 0
    data_directory: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class EvaluationResult:
    """The evaluation, with the samples and their scores for pictures."""

    evaluation: Evaluation
    samples: Split
    scores: Scores


def evaluate(run: StoredRun, request: EvaluationRequest) -> EvaluationResult:
    """Score one split. UsageError for a split or an engine that the run does not have, DataError for missing data."""
    dataset = run.load_dataset(request.dataset, data_directory=request.data_directory, offline=request.offline)
    samples = _samples(dataset, request.split)
    with translated_memory_errors(batch_advice(request.batch_size)):
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        scores, seconds = timed_calls(
            partial(engine.predict, samples.x, batch_size=request.batch_size),
            n_calls=1 + N_WARM_CALLS,
            max_seconds=_MAX_SECONDS,
        )
    time = PredictionTime(request.batch_size, seconds[0], tuple(seconds[1:]))
    return EvaluationResult(_evaluation(run, request, dataset, engine, scores, time), samples, scores)


def _samples(dataset: Dataset, split: SplitName) -> Split:
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    samples = splits[split]
    if samples is None:
        raise UsageError("--split validation: the run has none, dataset.validation is null; use test or train")
    return samples


def _evaluation(
    run: StoredRun,
    request: EvaluationRequest,
    dataset: Dataset,
    engine: Engine,
    scores: Scores,
    time: PredictionTime,
) -> Evaluation:
    y = _samples(dataset, request.split).y
    names = run.preprocessing.class_names
    matrix = confusion_matrix(scores.labels, y, len(names))
    classes = class_scores(matrix, names)
    metrics = score(scores, y)
    reported = run.record.metrics.get("test") if request.split == "test" and run.is_trained_on(dataset) else None
    return Evaluation(
        run_id=run.record.run_id,
        backend=request.backend or run.record.backend,
        trained_on=run.record.backend,
        dataset=dataset.info.name,
        split=request.split,
        metrics=metrics,
        reported=reported,
        classes=classes,
        macro=macro_average(classes),
        confusion=matrix,
        calibration=calibration(scores, y),
        mistakes=confident_mistakes(scores, y, request.n_misclassified),
        n_mistakes=int((scores.labels != y).sum()),
        time=time,
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*dataset.notes, *_notes(run, dataset, metrics, reported)),
    )


def _notes(run: StoredRun, dataset: Dataset, metrics: Metrics, reported: Metrics | None) -> list[str]:
    notes = []
    if dataset.info.class_names != run.preprocessing.class_names:
        notes.append(f"the classes of {dataset.info.name} are other things than those of {run.record.dataset}")
    if reported is not None and metrics.accuracy != reported.accuracy:
        notes.append(f"accuracy is {metrics.accuracy:.6g}, and the run reported {reported.accuracy:.6g}")
    return notes
