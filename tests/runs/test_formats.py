"""The files of a run are read back exactly, and other content is refused."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, replace

import numpy as np
import pytest

from mlcli.records import EpochRecord, Metrics, Preprocessing, RunRecord, Scaling, TableColumn, TableEncoding, Timing
from mlcli.runs.directory import RunDirectory
from mlcli.runs.formats import (
    history_bytes,
    parsed_history,
    preprocessing_document,
    preprocessing_from,
    record_from,
    typed,
)
from mlcli.text import to_json
from mlcli.untrusted import parse_json

EPOCHS = [
    EpochRecord(1, 0.1, 0.1 + 0.2, 1 / 3, None, None, 0.25, 400.0, True),
    EpochRecord(2, None, 5e-324, 1.0, math.pi, 0.5, 1e-9, 1e12, False),
]


def test_every_number_of_a_history_is_read_back_exactly():
    data = history_bytes(EPOCHS[:1], with_header=True) + history_bytes(EPOCHS[1:], with_header=False)
    assert parsed_history(data) == EPOCHS


def test_lines_of_a_history_end_with_a_line_feed():
    assert b"\r" not in history_bytes(EPOCHS, with_header=True)


def test_lines_of_earlier_versions_end_with_a_carriage_return_too():
    assert parsed_history(history_bytes(EPOCHS, with_header=True).replace(b"\n", b"\r\n")) == EPOCHS


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"epoch", b"round"),
        lambda data: data[: data.rindex(b",")],
        lambda data: data.replace(b"True", b"yes"),
        lambda data: data + b"\xff",
        lambda data: data.replace(b"0.25", b"long"),
        lambda data: data.replace(b"\n2,", b"\n" + b"9" * 30 + b","),
    ],
)
def test_content_that_is_no_history_is_refused(damage):
    with pytest.raises(ValueError, match=r"\w"):
        parsed_history(damage(history_bytes(EPOCHS, with_header=True)))


RECORD = RunRecord(
    run_id="a", name="n", status="diverged", backend="torch", dataset="digits", model="mlp", seed=2**32 - 1,
    metrics={"train": Metrics(1.0, 0.1 + 0.2, 7), "test": Metrics(0.5, None, 3)}, timing=Timing(*map(float, range(7))),
    epochs=3, best_epoch=1, samples_per_second=1 / 3, n_parameters=2**40, device="cuda:0", threads=64,
    peak_memory_bytes=2**36, notes=("one", "two\nlines"), digests={"config": "a" * 64}, mlcli_version="0",
    created="2026-01-01T00:00:00+00:00", error="the loss became nan\nin epoch 2",
)  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, timing=None, metrics={}, error=None, epochs=None)])
def test_a_record_is_read_back_unchanged(record):
    assert record_from(parse_json(to_json(asdict(record)).encode())) == record


def test_a_loss_that_is_not_finite_is_read_back_as_none():
    record = replace(RECORD, metrics={"test": Metrics(0.1, float("nan"), 3)})
    assert record_from(parse_json(to_json(asdict(record)).encode())).metrics["test"].loss is None


def test_a_field_of_another_type_is_named():
    document = asdict(EpochRecord(1, None, None, None, None, None, 1.0, 1.0, True)) | {"seconds": "long"}
    with pytest.raises(ValueError, match="seconds: input should be a valid number"):
        typed(EpochRecord, document)
    with pytest.raises(ValueError, match="metrics.test.accuracy: input should be"):
        record_from(asdict(RECORD) | {"metrics": {"test": {"accuracy": True, "loss": None, "n_samples": 1}}})


def test_a_record_in_a_directory_whose_name_does_not_decode(tmp_path):
    directory = RunDirectory(tmp_path / os.fsdecode(b"\xff"))
    directory.path.mkdir()
    directory.finish(replace(RECORD, run_id=directory.run_id))
    assert directory.read_record().run_id == "\\udcff"


@pytest.mark.parametrize(
    "scaling",
    [
        Scaling("none"),
        Scaling("unit", scale=255.0),
        Scaling("standard", shift=np.array(72.94035223214286), scale=90.0211823710712),
        Scaling("standard", shift=np.array([0.1 + 0.2, 1 / 3]), scale=np.array([np.pi, np.nextafter(1, 2)])),
    ],
)
def test_every_number_of_a_preprocessing_is_read_back_exactly(scaling):
    before = Preprocessing("table", (2,), ("a", "b"), ("left", "right"), None, scaling)
    after = preprocessing_from(json.loads(to_json(preprocessing_document(before))))
    assert (after.kind, after.input_shape, after.class_names) == ("table", (2,), ("a", "b"))
    assert (after.feature_names, after.value_range) == (("left", "right"), None)
    assert after.scaling.kind == scaling.kind
    for name in ("shift", "scale"):
        old, new = getattr(scaling, name), getattr(after.scaling, name)
        assert (old is None) == (new is None)
        assert old is None or np.array_equal(old, new)
        assert np.shape(old) == np.shape(new)


def test_another_schema_version_of_a_preprocessing_is_refused():
    document = preprocessing_document(Preprocessing("image", (1, 8, 8), ("0",), (), (0.0, 16.0), Scaling("none")))
    with pytest.raises(ValueError, match="schema_version"):
        preprocessing_from(document | {"schema_version": 99})


DOCUMENT = preprocessing_document(
    Preprocessing("table", (2,), ("a", "b"), ("f0", "f1"), None, Scaling("standard", shift=0.0, scale=1.0))
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", 1e300), ("shift", [0.0, -1e19]), ("scale", 1e300), ("scale", 1e-300), ("scale", [1.0, -1e-19])],
)
def test_a_scaling_beyond_the_range_of_float32_is_refused(name, value):
    """Such a scaling makes every sample infinite, and scikit-learn raises during the prediction. Found by fuzzing."""
    scaling = DOCUMENT["scaling"] | {name: value}
    with pytest.raises(ValueError, match=rf"scaling\.{name}: a number"):
        preprocessing_from(DOCUMENT | {"scaling": scaling})


def test_scalings_of_ordinary_sizes_are_read():
    scaling = DOCUMENT["scaling"] | {"shift": [-1e6, 1e6], "scale": [1e-9, 1e9]}
    assert preprocessing_from(DOCUMENT | {"scaling": scaling}).scaling.scale.tolist() == [1e-9, 1e9]


ENCODING = TableEncoding(
    target="label",
    missing=("", "NA"),
    columns=(
        TableColumn("age", "numeric", fill=1 / 3, has_indicator=True),
        TableColumn("city", "categorical", categories=("Bern", None), has_other=True),
        TableColumn("when", "date", fill=1.7e9, date_order="dmy", has_time=True),
    ),
)
TABLE = Preprocessing(
    *("table", (11,), ("a", "b"), ENCODING.feature_names, None),
    Scaling("standard", shift=np.zeros(11), scale=np.ones(11)),
    ENCODING,
)


def test_the_encoding_of_a_table_is_read_back_exactly():
    document = json.loads(to_json(preprocessing_document(TABLE)))
    assert document["schema_version"] == 3
    assert preprocessing_from(document).encoding == ENCODING


def test_the_encoding_of_a_table_in_version_2_is_read():
    columns = ENCODING.columns[:2]
    before = replace(ENCODING, columns=columns)
    document = preprocessing_document(replace(TABLE, input_shape=(5,), feature_names=before.feature_names))
    document |= {"schema_version": 2, "scaling": {"kind": "none", "shift": None, "scale": None}}
    document["encoding"]["columns"] = [asdict(column) for column in columns]
    for column in document["encoding"]["columns"]:
        del column["date_order"], column["has_time"]
    assert preprocessing_from(document).encoding == before


def test_an_encoding_of_codes_is_read_back_exactly():
    columns = (TableColumn("age", "numeric"), TableColumn("city", "categorical", categories=("Bern",), is_coded=True))
    codes = replace(ENCODING, columns=columns)
    scaling = Scaling("standard", shift=np.zeros(2), scale=np.ones(2))
    table = replace(TABLE, input_shape=(2,), feature_names=("age", "city"), scaling=scaling, encoding=codes)
    found = preprocessing_from(json.loads(to_json(preprocessing_document(table))))
    assert found.encoding == codes
    assert found.encoding.form == "codes"


def test_without_a_table_the_document_is_that_of_earlier_versions():
    assert DOCUMENT["schema_version"] == 1
    assert "encoding" not in DOCUMENT


@pytest.mark.parametrize(
    ("column", "changes", "message"),
    [
        (0, {"fill": None}, "does not fit its kind"),
        (0, {"fill": 1e19}, "is filled with more than 1e"),
        (0, {"kind": "categorical"}, "does not fit its kind"),
        (0, {"kind": "date"}, "kind"),
        (0, {"has_indicator": False}, "other features than feature_names"),
        (0, {"categories": ["a"]}, "categories that are not distinct"),
        (0, {"is_coded": True}, "categories that are not distinct"),
        (1, {"is_coded": True}, "other features than feature_names"),
        (0, {"name": "city"}, "distinct names"),
        (0, {"name": "label"}, "distinct names"),
        (1, {"categories": ["Bern", "Bern"]}, "categories that are not distinct"),
        (1, {"categories": [], "has_other": False}, "does not fit its kind"),
        (0, {"has_time": True}, "does not fit its kind"),
        (2, {"date_order": None}, "does not fit its kind"),
        (2, {"date_order": "ydm"}, "date_order"),
        (2, {"fill": 1e12}, "is filled with more than 3e"),
    ],
)
def test_an_encoding_whose_parts_do_not_fit_is_refused(column, changes, message):
    document = json.loads(to_json(preprocessing_document(TABLE)))
    document["encoding"]["columns"][column] |= changes
    with pytest.raises(ValueError, match=message):
        preprocessing_from(document)
