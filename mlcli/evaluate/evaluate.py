"""Score the weights of a stored run on one split, with its engine or another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mlcli.config.schema import EstimatorModel
from mlcli.errors import UsageError, batch_advice, translated_memory_errors
from mlcli.evaluate import EvaluateRequest
from mlcli.experiment.stored_run import StoredRun
from mlcli.metrics.by_class import ClassScores, class_scores, confusion_matrix, macro_average, probability_scores
from mlcli.metrics.scores import Calibration, Mistake, calibration, confident_mistakes, full_score, largest_class
from mlcli.records import Dataset, Metrics, Preprocessing, Scores, Split
from mlcli.registry import METRICS, backend_info
from mlcli.rendering.score_files import Column, class_columns, score_file
from mlcli.timing import timed_calls

EVALUATION_SCHEMA_VERSION = 1
WHOLE = "all"  # the split of data that are not those of the run
N_WARM_CALLS = 5
_LOSS_ROUNDING = 1e-3  # relative; another engine or device changes the loss by less
_MAX_SECONDS = 5.0  # no further warm call starts after this time


@dataclass(frozen=True)
class PredictionTime:
    """Seconds to score the whole split: in the first call, which includes warming up, and in each later one."""

    batch_size: int
    first_seconds: float
    warm_seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float:
        """Median over the warm calls."""
        return median(self.warm_seconds)


@dataclass(frozen=True)
class MisclassifiedSample(Mistake):
    """A mistake with the raw values of its sample, by feature; None for images."""

    features: dict[str, float] | None


@dataclass(frozen=True)
class Evaluation:
    """The scores of a stored run on one split; its fields are the keys of the JSON report."""

    run_id: str
    backend: str  # the engine that scored
    trained_on: str  # the engine that trained
    dataset: str
    split: str  # one of the run, or WHOLE
    metrics: Metrics
    reported: Metrics | None  # as reported by the run for the same split of the same data; None if not reported
    classes: tuple[ClassScores, ...]
    macro: ClassScores
    confusion: NDArray[np.int64]  # (classes, classes): rows are true classes, columns predicted ones
    calibration: Calibration | None
    mistakes: tuple[MisclassifiedSample, ...]
    n_mistakes: int
    time: PredictionTime
    device: str
    threads: int
    notes: Sequence[str]

    @property
    def samples_title(self) -> str:
        """Which samples were scored, e.g. "the test split"."""
        return "all samples" if self.split == WHOLE else f"the {self.split} split"

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores that thresholds can use, by name: MACRO_SCORES and the metrics."""
        macro = {"macro_precision": self.macro.precision, "macro_recall": self.macro.recall}
        return {"accuracy": self.metrics.accuracy} | macro | {name: getattr(self.metrics, name) for name in METRICS}

    def mistakes_title(self, n_shown: int) -> str:
        """Return the title of a list or plot of n_shown mistakes."""
        if not self.n_mistakes:
            return "No misclassified samples"
        if self.calibration is None:  # without probabilities they are in the order of the split
            return f"First {n_shown} of {self.n_mistakes:,} misclassified"
        return f"Top {n_shown} of {self.n_mistakes:,} misclassified, by confidence"


@dataclass(frozen=True)
class EvaluationResult:
    """An evaluation with what its plots need: the samples of the split, their scores, and the class names."""

    evaluation: Evaluation
    samples: Split
    scores: Scores
    preprocessing: Preprocessing
    model: str  # its name


def evaluate(
    run: StoredRun, request: EvaluateRequest, on_stage: Callable[[str], None] = lambda _: None
) -> EvaluationResult:
    """Score one split. UsageError for a split or an engine that the run does not have, DataError for missing data.

    on_stage: receives a text for each part of the work, before it begins.
    """
    on_stage(f"loading {request.data or request.dataset or run.record.dataset}")
    dataset = run.load_dataset(
        request.dataset,
        data=request.data,
        is_split=request.split is not None,
        on_bad=request.on_bad,
        data_directory=request.data_dir,
        offline=request.offline,
    )
    is_whole = request.split is None and dataset.test is dataset.train and not run.has_content_of(dataset)
    split = request.split or (WHOLE if is_whole else "test")
    samples = _samples(dataset, split)
    backend = request.backend or run.record.backend
    with translated_memory_errors(batch_advice(request.batch_size)):
        on_stage(f"importing {backend_info(backend).title} and building {run.record.model}")
        engine = run.build_engine(request.backend, device=request.device, threads=request.threads)
        on_stage("scoring all samples" if split == WHOLE else f"scoring the {split} split")
        predict = partial(engine.predict, samples.x, batch_size=request.batch_size)
        scores, seconds = timed_calls(predict, n_calls=1 + N_WARM_CALLS, max_seconds=_MAX_SECONDS)
    metrics = full_score(scores, samples.y, largest_class(dataset.train.y))
    matrix = confusion_matrix(scores.labels, samples.y, len(run.preprocessing.class_names))
    classes = class_scores(matrix, run.preprocessing.class_names, probability_scores(scores, samples.y))
    is_reported = split == "test" and run.is_trained_on(dataset)
    reported = run.record.metrics.get("test") if is_reported else None
    evaluation = Evaluation(
        run_id=run.record.run_id,
        backend=backend,
        trained_on=run.record.backend,
        dataset=dataset.info.name,
        split=split,
        metrics=metrics,
        reported=reported,
        classes=classes,
        macro=macro_average(classes),
        confusion=matrix,
        calibration=calibration(scores, samples.y),
        mistakes=_misclassified(scores, samples, run.preprocessing, request.n_misclassified),
        n_mistakes=int((scores.labels != samples.y).sum()),
        time=PredictionTime(request.batch_size, seconds[0], tuple(seconds[1:])),
        device=engine.device,
        threads=request.threads or run.record.threads,
        notes=(*dataset.notes, *_notes(run, dataset, metrics, reported)),
    )
    model = run.config.model
    name = model.estimator if isinstance(model, EstimatorModel) else model.name
    return EvaluationResult(evaluation, samples, scores, run.preprocessing, name)


def _samples(dataset: Dataset, split: str) -> Split:
    samples = {"train": dataset.train, "validation": dataset.validation}.get(split, dataset.test)
    if samples is None:
        raise UsageError("--split validation: the run has no validation split (dataset.validation is null)")
    return samples


def _misclassified(
    scores: Scores, samples: Split, preprocessing: Preprocessing, n: int
) -> tuple[MisclassifiedSample, ...]:
    names = preprocessing.feature_names
    found = []
    for mistake in confident_mistakes(scores, samples.y, n):
        values = map(str, samples.x[mistake.index])  # the shortest text that identifies a number
        features = dict(zip(names, map(float, values), strict=True)) if names else None
        found.append(MisclassifiedSample(**vars(mistake), features=features))
    return tuple(found)


def write_scores(result: EvaluationResult, path: Path) -> None:
    """Write one row per sample: index, true class, predicted class, and every logit and probability that the model has.

    MlcliError if the file cannot be written.
    """
    scores, samples, names = result.scores, result.samples, result.preprocessing.class_names
    columns: dict[str, Column] = {
        "index": np.arange(len(samples)),
        "label": samples.y,
        "class_name": [names[label] for label in samples.y.tolist()],
        "prediction": scores.labels,
        "predicted_class_name": [names[label] for label in scores.labels.tolist()],
        **class_columns("logit", scores.logits, names),
        **class_columns("probability", scores.probabilities, names),
    }
    with score_file(path) as writer:
        writer.write(columns)


def _notes(run: StoredRun, dataset: Dataset, metrics: Metrics, reported: Metrics | None) -> list[str]:
    notes = []
    if dataset.info.class_names != run.preprocessing.class_names:
        notes.append(f"the class names of {dataset.info.name} differ from those of {run.record.dataset}")
    if reported is not None and metrics.accuracy != reported.accuracy:
        notes.append(f"accuracy is {metrics.accuracy:.6g}, but the run reported {reported.accuracy:.6g}")
    if reported is not None and _differ(metrics.loss, reported.loss):
        notes.append(f"loss is {metrics.loss:.6g}, but the run reported {reported.loss:.6g}")
    return notes


def _differ(loss: float | None, reported: float | None) -> bool:
    """Return whether losses differ by more than rounding: mlcli 0.1 limited those of estimators to 16 nats a sample."""
    return loss is not None and reported is not None and not math.isclose(loss, reported, rel_tol=_LOSS_ROUNDING)
