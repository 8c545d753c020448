"""The preprocessing of a run is read back bit by bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlcli.records import Preprocessing, Scaling
from mlcli.runs.preprocessing import preprocessing_document, preprocessing_from
from mlcli.text import to_json


@pytest.mark.parametrize(
    "scaling",
    [
        Scaling("none"),
        Scaling("unit", scale=255.0),
        Scaling("standard", shift=np.array(72.94035223214286), scale=90.0211823710712),
        Scaling("standard", shift=np.array([0.1 + 0.2, 1 / 3]), scale=np.array([np.pi, np.nextafter(1, 2)])),
    ],
)
def test_every_number_is_read_back_exactly(scaling):
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


def test_another_schema_version_is_refused():
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
    """Found by fuzzing: it made every sample infinite, at which scikit-learn raised in the middle of a prediction."""
    scaling = DOCUMENT["scaling"] | {name: value}
    with pytest.raises(ValueError, match=rf"scaling\.{name}: a number"):
        preprocessing_from(DOCUMENT | {"scaling": scaling})


def test_scalings_of_ordinary_sizes_are_read():
    scaling = DOCUMENT["scaling"] | {"shift": [-1e6, 1e6], "scale": [1e-9, 1e9]}
    assert preprocessing_from(DOCUMENT | {"scaling": scaling}).scaling.scale.tolist() == [1e-9, 1e9]
