"""Compute the result of a row from its rounds: medians, their ratio, and whether the target is reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from measure import Samples
from rows import Row


@dataclass(frozen=True)
class Result:
    """The measured result of a row.

    rival: the fastest (or smallest) of the baselines, which is the one compared with. figure: the compared quantity.
    is_broken: a contestant failed, so that there is no measurement.
    """

    name: str
    work: str
    verdict: str
    ours: float | None = None
    theirs: float | None = None
    rival: str = ""
    ratio: float | None = None
    allowed: str = ""
    figure: str = "seconds"
    is_broken: bool = False


def result_of(row: Row, samples: Mapping[str, Samples]) -> Result:
    """Return the result of a row.

    The ratio is the median of the ratios of each round, so that slow changes in the speed of the machine cancel.
    """
    allowed = f"{'<' if row.is_strict else '<='} {row.allowed:.2f}"
    failures = [f"{name} failed: {samples[name].failure}" for name in (row.ours, *row.theirs) if samples[name].failure]
    if failures:
        return Result(row.name, row.work, failures[0], allowed=allowed, is_broken=True)
    present = [name for name in row.theirs if not samples[name].absent]
    if not present:
        return Result(row.name, row.work, str(samples[row.theirs[0]].absent), allowed=allowed)
    ours = measured_values(samples[row.ours], row.figure)
    best = min(present, key=lambda name: statistics.median(measured_values(samples[name], row.figure)))
    theirs = measured_values(samples[best], row.figure)
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    is_reached = ratio < row.allowed if row.is_strict else ratio <= row.allowed
    return Result(
        name=row.name,
        work=row.work,
        verdict="reached" if is_reached else "MISSED",
        ours=statistics.median(ours),
        theirs=statistics.median(theirs),
        rival=best.rpartition(":")[2],
        ratio=ratio,
        allowed=allowed,
        figure=row.figure,
    )


def measured_values(samples: Samples, figure: str) -> list[float]:
    """Return the measured value of each round."""
    return [float(getattr(sample, figure)) for sample in samples.rounds]
