"""The registry of formats, and the generated Python code for scaling."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.convert.formats import FORMATS, ModelFormat, load_format, scaling_code
from mlcli.records import Scaling


@pytest.mark.parametrize("name", FORMATS)
def test_each_row_names_an_implementation(name):
    assert isinstance(load_format(name), ModelFormat)


@pytest.mark.parametrize(
    ("scaling", "code"),
    [
        (Scaling("none"), "x"),
        (Scaling("unit", None, 255.0), "x / 255.0"),
        (Scaling("standard", np.array(0.1), 0.3), "(x - 0.1) / 0.3"),
        (
            Scaling("standard", np.array([0.1, 2.0]), np.array([1.0, 0.5])),
            "(x - np.array([0.1, 2.0])) / np.array([1.0, 0.5])",
        ),
    ],
)
def test_the_code_is_what_a_person_would_write(scaling, code):
    assert scaling_code("x", scaling, "np.array({})") == code


def test_constants_keep_every_digit():
    shift, scale = np.random.default_rng(0).normal(size=(2, 20))
    x = np.random.default_rng(1).normal(size=(5, 20))
    code = scaling_code("x", Scaling("standard", shift, scale), "np.array({})")
    np.testing.assert_array_equal(eval(code, {"x": x, "np": np}), (x - shift) / scale)
