"""Which samples were taken while the machine was left alone.

On a machine that is shared, as a virtual machine is with its neighbours, the same work takes now and then twice as
long, for milliseconds or for many seconds. A median of whatever came along then tells of the neighbours: two runs one
after the other differed by up to 40 %. Therefore a reference, a short piece of work that is always the same, is timed
before and after every sample. A sample is undisturbed where neither took more than a tenth longer than the fastest
references of the run.

Samples are chosen by their references alone, never by their own times: what is slow or varies by itself stays in the
figures. What disturbs a run from its beginning to its end cannot be seen in this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlcli.batch_bench.statistics import quantile

LEAST_SAMPLES = 6  # fewer have no 95 % interval of the median
_FASTEST = 0.01  # the share of references that a run's fastest one is taken from: not the very fastest, by luck
_LIMIT = 1.10  # times the fastest reference


def fastest_reference(references: Iterable[float]) -> float:
    """What the reference takes on this machine when nothing disturbs; 0 where there was none."""
    every = list(references)
    return quantile(every, _FASTEST) if every else 0.0


def disturbed_marks(references: Iterable[float], fastest: float) -> list[bool]:
    """Of each sample, whether its reference says that it was disturbed."""
    return [seconds > _LIMIT * fastest for seconds in references]


def least_disturbed(samples: Sequence[float], references: Sequence[float], fastest: float) -> list[float]:
    """The undisturbed samples; where there are fewer than an interval needs, those with the shortest references."""
    ordered = sorted(references)
    limit = max(_LIMIT * fastest, ordered[min(LEAST_SAMPLES, len(ordered)) - 1])
    return [seconds for seconds, reference in zip(samples, references, strict=True) if reference <= limit]
