"""Score the weights of a stored run on one split, with its engine or another one."""

from __future__ import annotations

from functools import partial

from mlcli.errors import UsageError, batch_advice, translated_memory_errors
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.records import Evaluation, EvaluationResult, PredictionTime
from mlcli.experiment.stored_run import StoredRun
from mlcli.metrics.calibration import calibration
from mlcli.metrics.mistakes import confident_mistakes
from mlcli.metrics.scores import class_scores, confusion_matrix, macro_average, score
from mlcli.records import Dataset, Metrics, Split
from mlcli.timing import timed_calls

N_WARM_CALLS = 5
_MAX_SECONDS = 5.0  # no further warm call starts after this time


def evaluate(run: StoredRun, request: EvaluateRequest) -> EvaluationResult:
    """Score one split. UsageError for a split or an engine that the run does not have, DataError for missing data."""
    dataset = run.load_dataset(request.dataset, data_directory=request.data_dir, offline=request.offline)
    samples = _samples(dataset, request.split)
    with translated_memory_errors(batch_advice(request.batch_size)):
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        predict = partial(engine.predict, samples.x, batch_size=request.batch_size)
        scores, seconds = timed_calls(predict, n_calls=1 + N_WARM_CALLS, max_seconds=_MAX_SECONDS)
    metrics = score(scores, samples.y)
    matrix = confusion_matrix(scores.labels, samples.y, len(run.preprocessing.class_names))
    classes = class_scores(matrix, run.preprocessing.class_names)
    is_reported = request.split == "test" and run.is_trained_on(dataset)
    reported = run.record.metrics.get("test") if is_reported else None
    evaluation = Evaluation(
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
        calibration=calibration(scores, samples.y),
        mistakes=confident_mistakes(scores, samples.y, request.n_misclassified),
        n_mistakes=int((scores.labels != samples.y).sum()),
        time=PredictionTime(request.batch_size, seconds[0], tuple(seconds[1:])),
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*dataset.notes, *_notes(run, dataset, metrics, reported)),
    )
    return EvaluationResult(evaluation, samples, scores, run.preprocessing)


def _samples(dataset: Dataset, split: str) -> Split:
    samples = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[split]
    if samples is None:
        raise UsageError("--split validation: the run has no validation split (dataset.validation is null)")
    return samples


def _notes(run: StoredRun, dataset: Dataset, metrics: Metrics, reported: Metrics | None) -> list[str]:
    notes = []
    if dataset.info.class_names != run.preprocessing.class_names:
        notes.append(f"the class names of {dataset.info.name} differ from those of {run.record.dataset}")
    if reported is not None and metrics.accuracy != reported.accuracy:
        notes.append(f"accuracy is {metrics.accuracy:.6g}, but the run reported {reported.accuracy:.6g}")
    return notes
