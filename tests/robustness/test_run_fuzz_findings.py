"""What fuzzing found in the readers of run directories, as small as it gets."""

from __future__ import annotations

import pytest

from mlcli.records import Preprocessing, Scaling
from mlcli.runs.preprocessing import preprocessing_document, preprocessing_from

DOCUMENT = preprocessing_document(
    Preprocessing("table", (2,), ("a", "b"), ("f0", "f1"), None, Scaling("standard", shift=0.0, scale=1.0))
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("shift", 1e300), ("shift", [0.0, -1e19]), ("scale", 1e300), ("scale", 1e-300), ("scale", [1.0, -1e-19])],
)
def test_a_scaling_that_float32_cannot_carry_out_is_refused(name, value):
    """It made infinite numbers of every sample, at which scikit-learn raised in the middle of a prediction."""
    scaling = DOCUMENT["scaling"] | {name: value}
    with pytest.raises(ValueError, match=rf"scaling\.{name}: a number"):
        preprocessing_from(DOCUMENT | {"scaling": scaling})


def test_scalings_of_every_ordinary_size_are_read():
    scaling = DOCUMENT["scaling"] | {"shift": [-1e6, 1e6], "scale": [1e-9, 1e9]}
    assert preprocessing_from(DOCUMENT | {"scaling": scaling}).scaling.scale.tolist() == [1e-9, 1e9]
