"""Scaling as Python: nothing superfluous, and every digit."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.convert.formats.scaling_code import scaled_code
from mlcli.records import Scaling


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
def test_the_expression_is_what_a_person_would_write(scaling, code):
    assert scaled_code("x", scaling, "np.array({})") == code


def test_constants_survive_exactly():
    shift, scale = np.random.default_rng(0).normal(size=(2, 20))
    x = np.random.default_rng(1).normal(size=(5, 20))
    code = scaled_code("x", Scaling("standard", shift, scale), "np.array({})")
    np.testing.assert_array_equal(eval(code, {"x": x, "np": np}), (x - shift) / scale)
