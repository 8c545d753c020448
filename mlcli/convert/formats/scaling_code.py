"""The scaling of a run as a Python expression, number for number what the engines compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcli.records import Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def scaled_code(samples: str, scaling: Scaling, array: str) -> str:
    """`(samples - shift) / scale` without the parts that do nothing.

    samples: an expression for the samples in the run's precision.
    array: how an array is made of a list, e.g. "torch.tensor({})"; float64 digits are written in full.
    """
    code = samples
    if scaling.shift is not None:
        code = f"({code} - {_constant(scaling.shift, array)})"
    if scaling.scale is not None:
        code = f"{code} / {_constant(scaling.scale, array)}"
    return code


def _constant(value: NDArray[np.float64] | float, array: str) -> str:
    plain = value if isinstance(value, float | int) else value.tolist()
    return repr(plain) if isinstance(plain, float | int) else array.format(plain)
