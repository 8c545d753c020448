"""How many repeats a conclusion would take."""

from __future__ import annotations

from collections.abc import Callable

_MOST = 10_000


def smallest_enough(is_enough: Callable[[int], bool], more_than: int) -> int | None:
    """The smallest number above `more_than` that is enough; None where ten thousand are not.

    is_enough must stay true once it is true.
    """
    if not is_enough(_MOST):
        return None
    low, high = more_than, more_than + 1
    while not is_enough(high):
        low, high = high, min(_MOST, high * 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
