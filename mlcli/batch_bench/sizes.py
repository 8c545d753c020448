"""The ladder of batch sizes."""

from __future__ import annotations

from collections.abc import Sequence

from mlcli.errors import UsageError

DEFAULT_SIZES = (1, 10, 100, 300, 600, 1000, 6000, 60000)
# `auto` stops when this many doublings in a row have not made anything faster by the share below.
_PATIENCE = 3
_WORTHWHILE = 0.05


def parse_sizes(text: str) -> tuple[int, ...] | None:
    """Sizes from a text like `1,10,100`, each once and in ascending order; None for `auto`; UsageError otherwise."""
    if text.strip() == "auto":
        return None
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = []
    if not sizes or sizes[0] < 1:
        raise UsageError(f"--sizes {text}: give whole numbers from 1 on, e.g. 1,10,100, or auto")
    return tuple(sizes)


def fitting_sizes(sizes: Sequence[int], n_samples: int, *, tile: bool, is_default: bool) -> tuple[int, ...]:
    """The sizes that the data can fill. Those of the default ladder that it cannot are left out; others are refused."""
    too_large = [size for size in sizes if size > n_samples]
    if not too_large or tile:
        return tuple(sizes)
    if is_default:
        return tuple(size for size in sizes if size <= n_samples)
    raise UsageError(
        f"--sizes: a batch of {too_large[0]:,} is more than the {n_samples:,} samples there are\n"
        "use smaller sizes, or --tile to repeat the samples until they fill it"
    )


def is_worth_doubling(throughputs: Sequence[float]) -> bool:
    """Whether the best of the last doublings was worth it. throughputs: samples/s by size, in ascending order."""
    if len(throughputs) <= _PATIENCE:
        return True
    return max(throughputs[-_PATIENCE:]) > (1 + _WORTHWHILE) * max(throughputs[:-_PATIENCE])
