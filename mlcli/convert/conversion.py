"""Conversion of a stored run, with verification.

The code that will be printed is run on the converted file, and its scores are compared with those of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.convert import ConvertRequest
from mlcli.convert.formats import FORMATS, ScoreKind, TrainedModel, Usage, format_info, load_format
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.stored_run import StoredRun
from mlcli.files import disk_errors, write_whole
from mlcli.metrics.scores import accuracy
from mlcli.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Conversion:
    """A converted model, and how its scores of the test split compare with those of the engine of the run."""

    run_id: str
    backend: str  # of the run, whose engine computed the scores to compare with
    target: str
    path: str
    n_bytes: int
    dataset: str
    n_samples: int  # of the test split
    compared: ScoreKind
    largest_difference: float | None  # None if only labels can be compared
    largest_relative_difference: float | None  # relative to the largest |score| of the same sample
    tolerance: float  # of the relative difference
    n_changed: int  # samples with a different predicted class
    accuracy: float  # of the converted model
    reported_accuracy: float | None  # of the run; None if it was scored on other data
    usage: str  # Python code that loads the file and scores samples
    notes: tuple[str, ...]

    @property
    def is_within(self) -> bool:
        """Whether the scores are within the tolerance; without scores, whether all labels are equal."""
        if self.largest_relative_difference is None:
            return self.n_changed == 0
        return self.largest_relative_difference <= self.tolerance


def convert(run: StoredRun, request: ConvertRequest) -> Conversion:
    """Write the model of a run to `request.output` if its scores of the test split are within the tolerance.

    UsageError for a format that cannot hold the model or needs a missing package, and for an output that exists or has
    the wrong suffix; DataError for a missing dataset.
    """
    _check(run, request)
    dataset = run.load_dataset(data_directory=request.data_dir, offline=request.offline)
    expected = run.build_engine(device="cpu", threads=request.threads).predict(dataset.test.x, batch_size=_BATCH_SIZE)
    model = _convert_model(run, request.target, expected)
    comparison = _compare(model, request, expected, dataset.test.x)
    difference, relative_difference = comparison.differences()
    usage = model.usage(request.output)
    conversion = Conversion(
        run_id=run.record.run_id,
        backend=run.record.backend,
        target=request.target,
        path=str(request.output),
        n_bytes=len(model.content),
        dataset=dataset.info.name,
        n_samples=len(dataset.test),
        compared=usage.kind,
        largest_difference=difference,
        largest_relative_difference=relative_difference,
        tolerance=request.tolerance,
        n_changed=comparison.n_changed,
        accuracy=accuracy(comparison.labels, dataset.test.y),
        reported_accuracy=run.record.metrics["test"].accuracy if run.is_trained_on(dataset) else None,
        usage=f"{usage.load}{_samples_comment(run)}{usage.score}",
        notes=(*dataset.notes, *_precision_notes(run, request.target)),
    )
    if conversion.is_within:
        with disk_errors(request.output):
            request.output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(request.output, model.content)
    return conversion


def check_tolerance(conversion: Conversion) -> None:
    """Raise MlcliError unless the scores are within the tolerance."""
    if conversion.is_within:
        return
    if conversion.largest_relative_difference is None:
        changed = f"{conversion.n_changed:,} of {conversion.n_samples:,}"
        raise MlcliError(f"{conversion.path} was not written: {changed} predictions changed")
    raise MlcliError(
        f"{conversion.path} was not written: scores differ by {conversion.largest_relative_difference:.3g} of the "
        f"largest score of the sample, more than the tolerance {conversion.tolerance:g}\n"
        "a larger --tolerance accepts the difference"
    )


def _check(run: StoredRun, request: ConvertRequest) -> None:
    """Raise UsageError for what is known to be impossible, before anything heavy is loaded."""
    info = format_info(request.target)
    if request.output.suffix != info.suffix:
        raise UsageError(f"--output {request.output}: {info.title} needs the suffix {info.suffix}")
    if request.output.exists() and not request.force:
        raise UsageError(f"--output {request.output}: the file exists; use --force to overwrite it")
    if run.network is None and request.target != "sklearn":
        raise UsageError(
            f"run {run.record.run_id}: {_model_name(run)} has no weights for {request.target}; use --to sklearn"
        )
    reason = load_format(request.target).unsupported_reason(run.network) if run.network else None
    if reason:
        raise UsageError(f"--to {request.target}: {reason}")


def _model_name(run: StoredRun) -> str:
    return run.config.model.estimator if run.config.model.name == "estimator" else run.config.model.name


@dataclass(frozen=True)
class _ConvertedModel:
    """The content of the file, and the code for it at a given path."""

    content: bytes
    usage: Callable[[Path], Usage]


def _convert_model(run: StoredRun, target: str, expected: Scores) -> _ConvertedModel:
    if run.network is None:
        return _convert_estimator(run, expected)
    model = TrainedModel(run.network, run.weights(), run.preprocessing.scaling, run.config.runtime.precision)
    target_format = load_format(target)
    return _ConvertedModel(target_format.content(model), lambda path: target_format.usage(model, path))


def _convert_estimator(run: StoredRun, expected: Scores) -> _ConvertedModel:
    """Return the estimator file of the run, after checking that it has no types that mlcli does not trust."""
    from skops.io import get_untrusted_types

    from mlcli.convert.formats.sklearn import estimator_usage
    from mlcli.engines.sklearn.stored import load_estimator

    data = run.files.estimator()
    n_classes = len(load_estimator(data).classes_)
    has_probabilities = expected.probabilities is not None and n_classes == expected.probabilities.shape[1]
    trusted = get_untrusted_types(data=data)
    scaling, precision = run.preprocessing.scaling, run.config.runtime.precision
    return _ConvertedModel(
        data,
        lambda path: estimator_usage(scaling, precision, path, trusted=trusted, has_probabilities=has_probabilities),
    )


@dataclass(frozen=True)
class _Comparison:
    """The scores of the converted model, and those that the engine of the run expects."""

    kind: ScoreKind
    expected: Scores
    scores: NDArray[np.float64] | None
    labels: NDArray[np.int64]

    @property
    def n_changed(self) -> int:
        return int((self.labels != self.expected.labels).sum())

    def differences(self) -> tuple[float | None, float | None]:
        """Return the largest |difference|, absolute and relative to the largest |score| of the same sample."""
        expected = self.expected.logits if self.kind == "logits" else self.expected.probabilities
        if expected is None or self.scores is None:
            return None, None
        differences = np.abs(self.scores - expected.astype(np.float64)).max(axis=1)
        sizes = np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
        return float(differences.max()), float((differences / sizes).max())


def _compare(model: _ConvertedModel, request: ConvertRequest, expected: Scores, x: NDArray[Any]) -> _Comparison:
    """Write the file to a temporary directory, and score the samples with the code for it.

    All of this code comes from mlcli; only numbers, layer names and a quoted path are inserted into it.
    """
    with TemporaryDirectory(prefix="mlcli-") as directory, load_format(request.target).on_cpu():
        path = Path(directory, request.output.name)
        with disk_errors(path, len(model.content)):
            path.write_bytes(model.content)
        usage = model.usage(path)
        names: dict[str, Any] = {}
        exec(usage.load, names)
        scores, labels = [], []
        for start in range(0, len(x), _BATCH_SIZE):
            names["x"] = x[start : start + _BATCH_SIZE]
            exec(usage.score, names)
            labels.append(np.asarray(names["labels"]))
            if usage.kind != "labels":
                scores.append(np.asarray(names["scores"], dtype=np.float64))
    return _Comparison(usage.kind, expected, np.concatenate(scores) if scores else None, np.concatenate(labels))


def _samples_comment(run: StoredRun) -> str:
    """Return a comment that describes the samples in `x`."""
    preprocessing = run.preprocessing
    shape = ", ".join(map(str, preprocessing.input_shape))
    if preprocessing.value_range is not None:
        detail = "; {:g} to {:g}".format(*preprocessing.value_range)
    else:
        detail = f": {', '.join(preprocessing.feature_names)}" if preprocessing.feature_names else ""
    return f"# x: raw samples, a numpy array (n, {shape}){detail}\n"


def _precision_notes(run: StoredRun, target: str) -> list[str]:
    if run.config.runtime.precision == "float64" and FORMATS[target].is_float32_only and run.network is not None:
        return [f"the run is in float64, and the {target} model is in float32"]
    return []
