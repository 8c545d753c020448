"""The formats of the files of a run: history (CSV), record and preprocessing (JSON), predictions (.npz archive).

Every number is read back exactly. Whatever is read is checked: ValueError for content of any other kind.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from mlcli.config.messages import key_path
from mlcli.config.values import MOST_EPOCHS, MOST_THREADS
from mlcli.records import DatasetKind, EpochRecord, ImageDecoding, Preprocessing, RunRecord, Scaling, TableEncoding
from mlcli.registry import METRICS, alternatives
from mlcli.untrusted import malformed_as_value_error, sized_array_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
_MAX_LINE_BYTES = 1000  # of a history; a longer line is read as two, which are not rows
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # it is costly to make
_SCORES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
_OPTIONAL = ("learning_rate", *_SCORES, "samples_per_second")


def history_bytes(records: Sequence[EpochRecord], *, with_header: bool) -> bytes:
    """Return one row per record as CSV, after the header if asked for."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(map(asdict, records))
    return text.getvalue().encode()


def parsed_history(data: bytes) -> list[EpochRecord]:
    """Return the records of a history with line ends of either kind; at most MOST_EPOCHS, in lines of 1,000 bytes."""
    if data.count(b"\n") > MOST_EPOCHS + 1:
        raise ValueError(f"more than {MOST_EPOCHS:,} epochs")
    stream = io.BytesIO(data)
    lines = (line.decode() for line in iter(lambda: stream.readline(_MAX_LINE_BYTES), b""))
    try:
        return [_epoch(row) for row in csv.DictReader(lines)]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a row is incomplete: {error}") from error
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    if None in row.values():
        raise ValueError("a row is incomplete: it ends before its last column")
    epoch = int(row["epoch"])
    if not 0 <= epoch < 2**63:
        raise ValueError("epoch: a number that needs more than 64 bits")
    return EpochRecord(
        epoch=epoch,
        **{name: float(row[name]) if row[name] else None for name in _OPTIONAL},
        seconds=float(row["seconds"]),
        is_best={"True": True, "False": False}[row["is_best"]],
        monitored=float(row["monitored"]) if row.get("monitored") else None,
    )


def typed(kind: type[T], document: dict[str, Any]) -> T:
    """Return a dataclass made of what `parse_json` returned, every field of its type; other keys are ignored.

    ValueError names the first field that has another type.
    """
    try:
        record: T = _adapter(kind).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{key_path(first['loc'])}: {first['msg'].lower()}") from None
    return record


_MAX_SECONDS = 1e9  # thirty years
_MAX_CHARACTERS = 300
MAX_NOTE_CHARACTERS = 1000
_TEXTS = ("run_id", "name", "backend", "dataset", "model", "device", "mlcli_version", "created")
_COUNTS = (
    *("seed", "epochs", "best_epoch", "kept_epoch", "samples_per_second", "n_parameters", "n_train_samples"),
    *("peak_memory_bytes", "median_epoch_seconds"),
)


def record_from(document: dict[str, Any]) -> RunRecord:
    """Return the record of a run in a document, with every field of its type and within its bounds."""
    record = typed(RunRecord, document)
    for name in _TEXTS:
        _check_text(name, getattr(record, name))
    if any(len(note) > MAX_NOTE_CHARACTERS for note in record.notes):
        raise ValueError(f"notes: expected at most {MAX_NOTE_CHARACTERS:,} characters each")
    for part, digest in record.digests.items():
        _check_text("a digest", part + digest)
    for split, metrics in record.metrics.items():
        for name, info in METRICS.items():
            if name != "loss":  # of a model that diverges it has no bounds
                _check_range(f"metrics.{split}.{name}", getattr(metrics, name), 0, info.most)
        _check_range(f"metrics.{split}.largest_class_accuracy", metrics.largest_class_accuracy, 0, 1)
        for name, reason in metrics.undefined.items():
            _check_text(f"metrics.{split}.undefined", name + reason)
        _check_range(f"metrics.{split}.n_samples", metrics.n_samples, 1)
    for name, seconds in (asdict(record.timing) if record.timing else {}).items():
        _check_range(f"timing.{name}", seconds, 0, _MAX_SECONDS)
    _check_range("threads", record.threads, 0, MOST_THREADS)
    for name in _COUNTS:
        _check_range(name, getattr(record, name), 0)
    return record


def _check_text(name: str, text: str) -> None:
    if "\n" in text or len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{name}: expected one line of at most {_MAX_CHARACTERS} characters")


def _check_range(name: str, value: float | None, least: float, most: float = math.inf) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name}: {value} is not between {least:g} and {most:g}")


_PREPROCESSING_VERSION = 1
# Of a run on a person's own table or folder of images: the same, with `encoding` or `decoding`; 2 had no dates.
_OWN_VERSION = 3
_OWN_PARTS = ("encoding", "decoding")
_N_AXES = {"image": 3, "table": 1}
_MAX_VALUES = 2**31  # in a sample
_MAX_SECONDS_OF_DATE = 3e11  # from 1970; years have four digits
_MAX_SCALING = 1e18  # engines scale in float32, whose largest number is 3e38


@dataclass(frozen=True)
class _StoredScaling:
    kind: Literal["none", "unit", "standard"]
    shift: float | tuple[float, ...] | None
    scale: float | tuple[float, ...] | None


@dataclass(frozen=True)
class _StoredPreprocessing:
    kind: DatasetKind
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    value_range: tuple[float, float] | None
    scaling: _StoredScaling
    encoding: TableEncoding | None = None
    decoding: ImageDecoding | None = None


def preprocessing_document(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return plain values for JSON. Python writes a float64 with as many digits as it takes to read it back."""
    import numpy as np

    parts = [key for key in _OWN_PARTS if getattr(preprocessing, key) is not None]
    document = {"schema_version": _OWN_VERSION if parts else _PREPROCESSING_VERSION} | asdict(preprocessing)
    for key in set(_OWN_PARTS).difference(parts):
        del document[key]
    scaling = document["scaling"].items()
    document["scaling"] = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in scaling}
    return document


def preprocessing_from(document: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing in a document whose parts fit together."""
    is_own = any(document.get(key) is not None for key in _OWN_PARTS)
    versions = range(2, _OWN_VERSION + 1) if is_own else (_PREPROCESSING_VERSION,)
    if document.get("schema_version") not in versions:
        raise ValueError(
            f"schema_version {document.get('schema_version')}, expected {alternatives(map(str, versions))}"
        )
    found = typed(_StoredPreprocessing, document)
    _check_shape(found)
    _check_names("class_names", found.class_names)
    _check_names("feature_names", found.feature_names)
    _check_encoding(found)
    if found.decoding is not None and (found.kind != "image" or found.input_shape[0] not in (1, 3)):
        raise ValueError("decoding: image files become samples with 1 or 3 channels")
    _check_scaling(found, "shift", 0.0)
    _check_scaling(found, "scale", 1 / _MAX_SCALING)
    return Preprocessing(**vars(found) | {"scaling": _scaling(found.scaling)})


def _check_shape(found: _StoredPreprocessing) -> None:
    shape = found.input_shape
    if min(shape, default=0) < 1 or math.prod(shape) > _MAX_VALUES or len(shape) != _N_AXES[found.kind]:
        raise ValueError(f"input_shape: {list(shape)[:4]} is not the shape of a sample of kind {found.kind}")
    if not found.class_names or (found.kind == "table" and len(found.feature_names) != shape[0]):
        raise ValueError(f"{len(found.class_names)} class_names and {len(found.feature_names)} feature_names")


def _check_names(key: str, names: tuple[str, ...]) -> None:
    """Names are printed, and written into generated code as comments, so each must be one line."""
    if len(set(names)) != len(names) or any("\n" in name for name in names):
        raise ValueError(f"{key}: expected distinct names of one line each")


def _check_encoding(found: _StoredPreprocessing) -> None:
    """An encoding must give the features that are stored, in every column numbers or categories."""
    if found.encoding is None:
        return
    for column in found.encoding.columns:
        is_text = column.kind == "categorical"
        has_fill = column.fill is not None
        if (is_text and has_fill) or (column.has_indicator and not has_fill) or not column.features:
            raise ValueError(f"encoding: column {column.name!r} does not fit its kind")
        if (column.kind == "date") != (column.date_order is not None) or (column.has_time and column.kind != "date"):
            raise ValueError(f"encoding: column {column.name!r} does not fit its kind")
        has_categories = column.is_coded or len(column.categories) > 0
        if len(set(column.categories)) != len(column.categories) or (has_categories and not is_text):
            raise ValueError(f"encoding: column {column.name!r} has categories that are not distinct")
        limit = _MAX_SECONDS_OF_DATE if column.kind == "date" else _MAX_SCALING
        if column.fill is not None and abs(column.fill) > limit:
            raise ValueError(f"encoding: column {column.name!r} is filled with more than {limit:g}")
    names = [column.name for column in found.encoding.columns]
    _check_names("encoding.columns", (*names, found.encoding.target))
    if found.kind != "table" or found.encoding.feature_names != found.feature_names:
        raise ValueError("encoding: it gives other features than feature_names")


def _check_scaling(found: _StoredPreprocessing, key: Literal["shift", "scale"], least: float) -> None:
    value: float | tuple[float, ...] | None = getattr(found.scaling, key)
    if isinstance(value, tuple) and (found.kind != "table" or len(value) != found.input_shape[0]):
        raise ValueError(f"scaling.{key}: {len(value)} numbers, expected one, or one per feature")
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    if any(not least <= abs(number) <= _MAX_SCALING for number in numbers):
        raise ValueError(f"scaling.{key}: a number whose size is not between {least:g} and {_MAX_SCALING:g}")


def _scaling(found: _StoredScaling) -> Scaling:
    import numpy as np

    return Scaling(
        kind=found.kind,
        shift=None if found.shift is None else np.array(found.shift, dtype=np.float64),
        scale=np.array(found.scale, dtype=np.float64) if isinstance(found.scale, tuple) else found.scale,
    )


def predictions_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of an archive of arrays, uncompressed."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def parsed_predictions(data: bytes) -> dict[str, NDArray[Any]]:
    """Return y and labels int64 (n,), and logits and probabilities float (n, classes) if stored; n is at least 1.

    A run stores its arrays uncompressed and in C order. Other members of the archive are ignored.
    """
    with malformed_as_value_error("not an archive of arrays"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: f"{name}.npy" for name in ("y", "labels", "logits", "probabilities")}
        present = archive.namelist()
        arrays = {name: _array(archive, member) for name, member in members.items() if member in present}
    _check_predictions(arrays)
    return arrays


def _array(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    import numpy as np

    if archive.getinfo(member).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member} is compressed, but a run stores it uncompressed")
    data = archive.read(member)
    stream = io.BytesIO(data)
    header = sized_array_header(stream, len(data))
    if header.is_fortran or header.dtype.kind not in "if":
        raise ValueError(f"an array of {header.dtype}, expected numbers in C order")
    return np.frombuffer(memoryview(data)[stream.tell() :], header.dtype).reshape(header.shape)


def _check_predictions(arrays: Mapping[str, NDArray[Any]]) -> None:
    import numpy as np

    for name in ("y", "labels"):
        if name not in arrays or arrays[name].dtype != np.int64 or arrays[name].ndim != 1:
            raise ValueError(f"{name} is missing, or not int64 (n,)")
    n_samples = len(arrays["y"])
    for name, array in arrays.items():
        if name in ("logits", "probabilities") and (array.dtype.kind != "f" or array.ndim != 2):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected floats (n, classes)")
        if len(array) != n_samples or n_samples == 0:
            raise ValueError(f"{name} has {len(array):,} samples, and y has {n_samples:,}")
