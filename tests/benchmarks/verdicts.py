"""From rounds to a row: medians, the ratio, and whether the figure is reached."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from measure import Samples
from rows import Row


@dataclass(frozen=True)
class Result:
    """A row measured. rival: which of theirs counts; is_broken: a contestant failed, which is a fault and no figure."""

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


def judged(row: Row, samples: Mapping[str, Samples]) -> Result:
    """The ratio is the median of the ratios of each round, so that a drift of the machine cancels."""
    allowed = f"{'<' if row.is_strict else '<='} {row.allowed:.2f}"
    failures = [f"{name} failed: {samples[name].failure}" for name in (row.ours, *row.theirs) if samples[name].failure]
    if failures:
        return Result(row.name, row.work, failures[0], allowed=allowed, is_broken=True)
    present = [name for name in row.theirs if not samples[name].absent]
    if not present:
        return Result(row.name, row.work, str(samples[row.theirs[0]].absent), allowed=allowed)
    ours = figures(samples[row.ours], row.figure)
    best = min(present, key=lambda name: statistics.median(figures(samples[name], row.figure)))
    theirs = figures(samples[best], row.figure)
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


def figures(samples: Samples, figure: str) -> list[float]:
    """One number a round."""
    return [float(getattr(sample, figure)) for sample in samples.rounds]
