"""Conversion of a stored run, with verification.

The code that will be printed is run on the converted file, and its scores are compared with those of the run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.convert import ConvertRequest
from mlcli.convert.formats import FORMATS, ModelFormat, ScoreKind, TrainedModel, format_info, load_format
from mlcli.convert.table_export import (
    SCRIPT_SUFFIXES,
    ColumnsExport,
    ConvertedModel,
    ScriptExport,
    TableExport,
    check_rows,
)
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.stored_run import StoredRun
from mlcli.files import disk_errors, refuse_existing, write_whole
from mlcli.metrics.scores import accuracy
from mlcli.records import Preprocessing, Scaling, Scores
from mlcli.rendering import OutputFormat
from mlcli.rendering.console import write_text
from mlcli.rendering.tables import Fields, print_summary
from mlcli.text import is_utf8

_BATCH_SIZE = 1024


@dataclass(frozen=True)
class Conversion:
    """A converted model, and how its scores of the test split compare with those of the engine of the run."""

    run_id: str
    backend: str  # of the run, whose engine computed the scores to compare with
    target: str
    output: str
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
    other_files: tuple[str, ...] = ()  # next to `output`: the script and the preparation of a table of one's own

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
    engine = run.build_engine(device="cpu", threads=request.threads)
    expected = engine.predict(dataset.test.x, batch_size=_BATCH_SIZE)
    target = load_format(request.target)
    model = _converted(run, target, expected)
    usage = model.usage(repr(str(request.output)))
    with target.on_cpu():
        labels, scores = _predictions(model, request.output.name, _samples(run, dataset.test.x))
    table = _table_export(run, target, model, request.output)
    exported = table.model if table else model
    expected_scores = expected.logits if usage.kind == "logits" else expected.probabilities
    conversion = Conversion(
        run_id=run.record.run_id,
        backend=run.record.backend,
        target=request.target,
        output=str(request.output),
        n_bytes=len(exported.content),
        dataset=dataset.info.name,
        n_samples=len(dataset.test),
        compared=usage.kind,
        **_largest_differences(scores, expected_scores),
        tolerance=request.tolerance,
        n_changed=int((labels != expected.labels).sum()),
        accuracy=accuracy(labels, dataset.test.y),
        reported_accuracy=run.record.metrics["test"].accuracy if run.is_trained_on(dataset) else None,
        usage=table.usage if table else f"{usage.load}{_samples_comment(run)}{usage.score}",
        notes=(*dataset.notes, *_precision_notes(run, request.target), *_damage_notes(run)),
        other_files=tuple(str(request.output.with_suffix(suffix)) for suffix in (table.files if table else ())),
    )
    if conversion.is_within:
        if table is not None:
            with target.on_cpu(), TemporaryDirectory(prefix="mlcli-") as directory:
                path, predicted = Path(directory, request.output.name), partial(engine.predict, batch_size=_BATCH_SIZE)
                check_rows(run, table, path, predicted, request.tolerance)
        with disk_errors(request.output):
            request.output.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in (table.files if table else {}).items():
            write_whole(request.output.with_suffix(suffix), content)
        write_whole(request.output, exported.content)
    return conversion


def _converted(run: StoredRun, target: ModelFormat, expected: Scores) -> ConvertedModel:
    """Return the model for raw samples; for the scaled features of a table of one's own, whose export scales them."""
    if run.network is None:
        return _convert_estimator(run, expected)
    trained = TrainedModel(run.network, run.weights(), _scaling(run), run.config.runtime.precision)
    return ConvertedModel(target.content(trained), partial(target.usage, trained), trained)


def _scaling(run: StoredRun) -> Scaling:
    return Scaling("none") if run.preprocessing.encoding else run.preprocessing.scaling


def _samples(run: StoredRun, x: NDArray[Any]) -> NDArray[Any]:
    """Return samples as the converted model takes them."""
    if run.preprocessing.encoding is None:
        return x
    shift, scale = run.preprocessing.scaling.shift, run.preprocessing.scaling.scale
    x = x if shift is None else x - shift
    return x if scale is None else x / scale


def _table_export(run: StoredRun, target: ModelFormat, model: ConvertedModel, output: Path) -> TableExport | None:
    """Return the export of the model of a table of one's own; None for other data."""
    if run.preprocessing.encoding is None:
        return None
    if model.trained is None or not target.takes_columns:
        return ScriptExport.of(run, model, output)
    trained = replace(model.trained, table=run.preprocessing)
    return ColumnsExport.of(run, ConvertedModel(target.content(trained), partial(target.usage, trained)), output)


def check_tolerance(conversion: Conversion) -> None:
    """Raise MlcliError unless the scores are within the tolerance."""
    if conversion.is_within:
        return
    reason = f"{conversion.n_changed:,} of {conversion.n_samples:,} predictions changed"
    if conversion.largest_relative_difference is not None:
        reason = (
            f"scores differ by {conversion.largest_relative_difference:.3g} of the largest score of the sample, "
            f"more than the tolerance {conversion.tolerance:g}\na larger --tolerance accepts the difference"
        )
    raise MlcliError(f"{conversion.output} was not written: {reason}")


def _check(run: StoredRun, request: ConvertRequest) -> None:
    """Raise UsageError for what is known to be impossible, before anything heavy is loaded."""
    info = format_info(request.target)
    if request.output.suffix != info.suffix:
        raise UsageError(f"--output {request.output}: {info.title} needs the suffix {info.suffix}")
    for suffix in (info.suffix, *(SCRIPT_SUFFIXES if run.preprocessing.encoding else ())):
        refuse_existing(request.output.with_suffix(suffix), force=request.force)
    if not is_utf8(str(request.output)):
        raise UsageError(f"--output {request.output}: the name is not UTF-8, so that some libraries could not open it")
    if run.network is None:
        if request.target != "sklearn":
            name = run.config.model.name
            raise UsageError(f"run {run.record.run_id}: model {name} has no weights for {info.title}; use --to sklearn")
    elif reason := load_format(request.target).unsupported_reason(run.network):
        raise UsageError(f"--to {request.target}: {reason}")


def _convert_estimator(run: StoredRun, expected: Scores) -> ConvertedModel:
    """Return the estimator file of the run, after checking that it has no types that mlcli does not trust."""
    from skops.io import get_untrusted_types

    from mlcli.engines.sklearn.stored import load_estimator

    data = run.files.estimator()
    n_classes = len(load_estimator(data).classes_)
    has_probabilities = expected.probabilities is not None and n_classes == expected.probabilities.shape[1]
    trusted = get_untrusted_types(data=data)
    usage = partial(load_format("sklearn").estimator_usage, _scaling(run), run.config.runtime.precision)
    return ConvertedModel(data, partial(usage, trusted=trusted, has_probabilities=has_probabilities))


def _predictions(
    model: ConvertedModel, name: str, x: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Write the file to a temporary directory, and return the labels and scores that the code for it computes.

    All of this code comes from mlcli; only numbers, layer names and a quoted path are inserted into it.
    """
    with TemporaryDirectory(prefix="mlcli-") as directory:
        path = Path(directory, name)
        with disk_errors(path, len(model.content)):
            path.write_bytes(model.content)
        usage = model.usage(repr(str(path)))
        names: dict[str, Any] = {}
        exec(usage.load, names)
        scores, labels = [], []
        for start in range(0, len(x), _BATCH_SIZE):
            names["x"] = x[start : start + _BATCH_SIZE]
            exec(usage.score, names)
            labels.append(np.asarray(names["labels"]))
            scores.append(np.asarray(names.get("scores"), dtype=np.float64))
    return np.concatenate(labels), None if usage.kind == "labels" else np.concatenate(scores)


def _largest_differences(scores: NDArray[np.float64] | None, expected: NDArray[np.floating] | None) -> dict[str, Any]:
    """Return the fields of Conversion about the differences between scores (n, classes)."""
    if scores is None or expected is None:
        return {"largest_difference": None, "largest_relative_difference": None}
    differences = np.abs(scores - expected.astype(np.float64)).max(axis=1)
    sizes = np.maximum(np.abs(expected).max(axis=1), np.finfo(np.float32).tiny)
    relative = float((differences / sizes).max())
    return {"largest_difference": float(differences.max()), "largest_relative_difference": relative}


def _samples_comment(run: StoredRun) -> str:
    """Return a comment that describes the samples in `x`."""
    preprocessing = run.preprocessing
    shape = ", ".join(map(str, preprocessing.input_shape))
    if preprocessing.value_range is not None:
        detail = "; {:g} to {:g}".format(*preprocessing.value_range)
    else:
        detail = f": {', '.join(preprocessing.feature_names)}" if preprocessing.feature_names else ""
    return f"# x: raw samples, a numpy array (n, {shape}){detail}\n{_decoding_comment(preprocessing)}"


def _decoding_comment(preprocessing: Preprocessing) -> str:
    """Return code, as a comment, that makes samples of image files as the run did it; empty for other runs."""
    if preprocessing.decoding is None:
        return ""
    channels, height, width = preprocessing.input_shape
    mode, order = ("L", "[None]") if channels == 1 else ("RGB", ".transpose(2, 0, 1)")
    return f"""\
# Of image files (those of 16 bits need to be scaled to 8 before):
# import numpy as np
# from PIL import Image, ImageOps
# images = [ImageOps.exif_transpose(Image.open(path)).convert("{mode}") for path in paths]
# images = [image.resize(({width}, {height}), Image.Resampling.BILINEAR) for image in images]
# x = np.stack([np.asarray(image){order} for image in images])
"""


def _precision_notes(run: StoredRun, target: str) -> list[str]:
    if run.network and run.config.runtime.precision == "float64" and FORMATS[target].is_float32_only:
        return [f"the run is in float64, and the {target} model is in float32"]
    return []


def _damage_notes(run: StoredRun) -> list[str]:
    if run.preprocessing.encoding is None or run.config.dataset.on_bad == "stop":
        return []
    return [f"the exported model reads whole tables: of {run.config.dataset.path}, remove its damaged rows first"]


_SCHEMA_VERSION = 2


def print_conversion(conversion: Conversion, output_format: str) -> None:
    """Print a conversion to stdout; a table is followed by the Python code, ready to be copied."""
    document = asdict(conversion) | {"is_within": conversion.is_within}
    title = f"{conversion.run_id} as {FORMATS[conversion.target].title}"
    row = {key: value for key, value in document.items() if key not in ("usage", "notes", "other_files")}
    document = {"schema_version": _SCHEMA_VERSION, **document}
    print_summary(title, _fields(conversion), row, document, output_format)
    if output_format == OutputFormat.MARKDOWN:
        write_text(f"\n```python\n{conversion.usage}```\n")
    elif output_format == OutputFormat.TABLE:
        write_text(f"\n{conversion.usage}")


def _fields(conversion: Conversion) -> list[Fields]:
    compared = [("compared", f"{conversion.compared} of {conversion.n_samples:,} test samples of {conversion.dataset}")]
    if conversion.largest_difference is not None:
        compared.append((f"largest |difference| from {conversion.backend}", f"{conversion.largest_difference:.3g}"))
    if conversion.largest_relative_difference is not None:
        relative = f"{conversion.largest_relative_difference:.3g} (tolerance {conversion.tolerance:g})"
        compared.append(("relative to the largest score of the sample", relative))
    compared.append(("changed predictions", f"{conversion.n_changed:,}"))
    accuracies = [("accuracy", f"{conversion.accuracy:.6g}")]
    if conversion.reported_accuracy is not None:
        accuracies.append(("accuracy of the run", f"{conversion.reported_accuracy:.6g}"))
    written = ", ".join([f"{conversion.output} ({conversion.n_bytes:,} bytes)", *conversion.other_files])
    if not conversion.is_within:
        written = "nothing, because the tolerance is exceeded"
    return [compared, accuracies, [("written", written)]]
