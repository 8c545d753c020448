"""Convert a stored run: write a plain file, score with the lines that will be printed, compare, put it in place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.convert.formats.contract import TrainedModel, Usage
from mlcli.convert.formats.registry import export_info, load_export
from mlcli.convert.records import Conversion
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.stored_run import StoredRun
from mlcli.metrics.scores import accuracy
from mlcli.records import Dataset, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

UsageOf = Callable[[Path], Usage]

_BATCH_SIZE = 1024
_ONLY_FLOAT32 = ("keras", "onnx")


@dataclass(frozen=True)
class ConversionRequest:
    """What to write where, and how far its scores may be from those of the run."""

    target: str  # torch, keras, sklearn or onnx
    output: Path
    tolerance: float = 1e-5  # the largest difference of a sample's scores, relative to its largest |score|
    force: bool = False  # replace what is there
    threads: int = 1
    data_directory: Path | None = None
    offline: bool = False


def convert(run: StoredRun, request: ConversionRequest) -> Conversion:
    """Write the model of a run as a file that needs no mlcli, and compare its scores of the test split with the run's.

    The file appears at `output` only where they are within the tolerance. UsageError for a format that cannot hold the
    model, for a file that is there already or has another suffix, and where an extra is not installed; DataError where
    the dataset is not there.
    """
    _check(run, request)
    dataset = run.load_dataset(data_directory=request.data_directory, offline=request.offline)
    expected = run.build_engine(device="cpu", threads=request.threads).predict(dataset.test.x, batch_size=_BATCH_SIZE)
    with _part_of(request.output) as part:
        with _disk_errors(request.output):
            usage_of = _write(run, request.target, part, expected)
            n_bytes = part.stat().st_size
        with load_export(request.target).on_cpu():
            comparison = _compare(usage_of(part), expected, dataset.test.x)
        conversion = _conversion(run, request, dataset, comparison, usage_of(request.output), n_bytes)
        if conversion.is_within:
            _put_in_place(part, request.output)
    return conversion


def _check(run: StoredRun, request: ConversionRequest) -> None:
    """Refuse what is known to be impossible before anything heavy is loaded."""
    info = export_info(request.target)
    if request.output.suffix != info.suffix:
        raise UsageError(f"--output {request.output}: {info.title} is a {info.suffix} file; name one")
    if request.output.exists() and not request.force:
        raise UsageError(f"--output {request.output}: there is something already; --force replaces it")
    if run.network is None and request.target != "sklearn":
        raise UsageError(
            f"run {run.record.run_id}: a {_estimator_name(run)} has no weights that {request.target} could take; "
            "it converts --to sklearn only"
        )
    refusal = load_export(request.target).refusal(run.network) if run.network else None
    if refusal:
        raise UsageError(f"--to {request.target}: {refusal}")


def _estimator_name(run: StoredRun) -> str:
    return run.config.model.estimator if run.config.model.name == "estimator" else run.config.model.name


def _write(run: StoredRun, target: str, path: Path, expected: Scores) -> UsageOf:
    """Write the file; how it is used, given the path that it will have."""
    if run.network is None:
        return _write_estimator(run, path, expected)
    export, runtime = load_export(target), run.config.runtime
    model = TrainedModel(run.network, run.weights(), run.preprocessing.scaling, runtime.precision)
    export.write(model, path)
    return lambda final: export.usage(model, final)


def _write_estimator(run: StoredRun, path: Path, expected: Scores) -> UsageOf:
    """The file that the run left, which names no type beyond those that mlcli trusts."""
    from skops.io import get_untrusted_types

    from mlcli.convert.formats.sklearn import estimator_usage
    from mlcli.engines.sklearn.stored import load_estimator

    data = run.files.estimator()
    classes = load_estimator(data).classes_
    path.write_bytes(data)
    has_all = expected.probabilities is not None and len(classes) == expected.probabilities.shape[1]
    return lambda final: estimator_usage(
        run.preprocessing.scaling,
        run.config.runtime.precision,
        final,
        trusted=get_untrusted_types(data=data),
        has_probabilities=has_all,
    )


@dataclass(frozen=True)
class _Comparison:
    """What the run's own engine says of the test split, and what the converted model says."""

    usage: Usage
    expected: Scores
    scores: NDArray[np.float64] | None
    labels: NDArray[np.int64]

    @property
    def n_changed(self) -> int:
        return int((self.labels != self.expected.labels).sum())

    def differences(self) -> tuple[float | None, float | None]:
        """The largest |difference|, and the largest relative to the largest |score| of the same sample."""
        expected = self.expected.logits if self.usage.kind == "logits" else self.expected.probabilities
        if expected is None or self.scores is None:
            return None, None
        differences = np.abs(self.scores - expected.astype(np.float64)).max(axis=1)
        sizes = np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
        return float(differences.max()), float((differences / sizes).max())


def _compare(usage: Usage, expected: Scores, x: NDArray[Any]) -> _Comparison:
    """Run the lines for the user; they are mlcli's own, made of numbers, layer names and a quoted path."""
    names: dict[str, Any] = {}
    exec(usage.load, names)
    scores, labels = [], []
    for start in range(0, len(x), _BATCH_SIZE):
        names["x"] = x[start : start + _BATCH_SIZE]
        exec(usage.score, names)
        labels.append(np.asarray(names["labels"]))
        if usage.kind != "labels":
            scores.append(np.asarray(names["scores"], dtype=np.float64))
    return _Comparison(usage, expected, np.concatenate(scores) if scores else None, np.concatenate(labels))


def _conversion(
    run: StoredRun, request: ConversionRequest, dataset: Dataset, comparison: _Comparison, usage: Usage, n_bytes: int
) -> Conversion:
    difference, relative = comparison.differences()
    reported = run.record.metrics["test"].accuracy if run.is_trained_on(dataset) else None
    return Conversion(
        run_id=run.record.run_id,
        backend=run.record.backend,
        target=request.target,
        path=str(request.output),
        n_bytes=n_bytes,
        dataset=dataset.info.name,
        n_samples=len(dataset.test),
        compared=usage.kind,
        largest_difference=difference,
        largest_relative_difference=relative,
        tolerance=request.tolerance,
        n_changed=comparison.n_changed,
        accuracy=accuracy(comparison.labels, dataset.test.y),
        reported_accuracy=reported,
        usage=f"{usage.load}{_samples_line(run)}{usage.score}",
        notes=(*dataset.notes, *_precision_notes(run, request.target)),
    )


def _samples_line(run: StoredRun) -> str:
    """What the lines expect in `x`."""
    own = run.preprocessing
    shape = ", ".join(map(str, own.input_shape))
    if own.value_range is not None:
        detail = "; {:g} to {:g}".format(*own.value_range)
    else:
        detail = f": {', '.join(own.feature_names)}" if own.feature_names else ""
    return f"# x: raw samples, a numpy array (n, {shape}){detail}\n"


def _precision_notes(run: StoredRun, target: str) -> list[str]:
    if run.config.runtime.precision == "float64" and target in _ONLY_FLOAT32 and run.network is not None:
        return [f"the run is in float64, and the {target} model is in float32"]
    return []


@contextlib.contextmanager
def _part_of(output: Path) -> Iterator[Path]:
    """A path beside the output, with its suffix; what is left there in the end goes."""
    part = output.with_name(f".{os.getpid()}.{output.name}")
    with _disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _put_in_place(part: Path, output: Path) -> None:
    with _disk_errors(output):
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(output)


@contextlib.contextmanager
def _disk_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MlcliError(f"{output}: cannot be written: {error.strerror or error}") from error
