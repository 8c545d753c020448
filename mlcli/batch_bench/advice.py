"""Which batch size to use, and warnings about the measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from mlcli.batch_bench.records import PHASE_TITLES, BenchAdvice, BenchEngine, BenchSeries, Phase, SeriesStatistics

TrainCommand = Callable[[str, int, int], str | None]  # backend, threads, batch size -> command line

_CLOSE = 0.95  # of peak throughput, which the advised batch size must reach
_PERHAPS_CLOSE = 0.90  # of peak throughput; less is not close, whatever the interval
_WIDE_SPREAD = 0.10
_BUSY_CORES = 0.25


def advise(
    series: Sequence[BenchSeries], n_samples: int, configured: int | None, command: TrainCommand
) -> tuple[BenchAdvice, ...]:
    """Return for each engine, thread count and phase the smallest size within 5 % of its peak throughput.

    A size counts as within 5 % unless the intervals of the two medians rule that out. Whether a median itself exceeds
    5 % is chance, and often two or three sizes are near it: with medians known to 2 %, two runs advise the same size or
    a neighbour in 50 to 95 of 100 cases without the intervals, by the shape of the curve, and in 99 with them. Where
    medians are known less well, more than 10 % below the peak never counts.

    n_samples: in an epoch. configured: the batch size of the experiment. command: returns the line that trains.
    """
    groups: dict[tuple[str, int, Phase], list[BenchSeries]] = {}
    for one in series:
        if one.statistics is not None:
            groups.setdefault(one.group, []).append(one)
    return tuple(_advice(group, n_samples, configured, command) for group in groups.values())


def _advice(
    series: Sequence[BenchSeries], n_samples: int, configured: int | None, command: TrainCommand
) -> BenchAdvice:
    measured = {one.batch_size: one.statistics for one in series if one.statistics is not None}
    best = max(measured, key=lambda size: measured[size].samples_per_second)
    chosen = min(size for size, one in measured.items() if size == best or _may_be_close(one, measured[best]))
    row = next(one for one in series if one.batch_size == chosen)
    return BenchAdvice(
        backend=row.backend,
        threads=row.threads,
        phase=row.phase,
        batch_size=chosen,
        samples_per_second=measured[chosen].samples_per_second,
        best_batch_size=best,
        best_samples_per_second=measured[best].samples_per_second,
        steps_per_epoch=row.steps_per_epoch,
        last_batch_size=row.last_batch_size,
        configured_batch_size=configured,
        configured_steps_per_epoch=math.ceil(n_samples / configured) if configured else None,
        command=command(row.backend, row.threads, chosen) if row.phase == "train" else None,
    )


def _may_be_close(one: SeriesStatistics, best: SeriesStatistics) -> bool:
    """Return whether the throughput may be within 5 % of the best, given the intervals of both medians."""
    fraction = one.samples_per_second / best.samples_per_second
    if one.median_interval is None or best.median_interval is None:
        return fraction >= _CLOSE
    at_most = one.median_seconds / one.median_interval[0]
    best_at_least = best.median_seconds / best.median_interval[1]
    return fraction >= _PERHAPS_CLOSE and fraction * at_most >= _CLOSE * best_at_least


def advice_sentence(advice: BenchAdvice, *, several_threads: bool) -> str:
    """Return which batch size to use, how it compares with the fastest one, and what it means for an epoch."""
    threads = f" with {counted(advice.threads, 'thread')}" if several_threads else ""
    text = (
        f"{advice.backend}{threads}, {PHASE_TITLES[advice.phase]}: "
        f"use batch size {advice.batch_size:,} ({advice.samples_per_second:,.0f} samples/s, "
    )
    if advice.batch_size == advice.best_batch_size:
        text += "peak throughput)"
    else:
        is_close = advice.samples_per_second >= _CLOSE * advice.best_samples_per_second
        overlap = "" if is_close else "; medians overlap"
        text += (
            f"within 5 % of peak throughput, {advice.best_samples_per_second:,.0f} at "
            f"{advice.best_batch_size:,}{overlap})"
        )
    if advice.phase == "forward":
        return text
    text += f"; {counted(advice.steps_per_epoch, 'step')} per epoch"
    if advice.configured_batch_size and advice.configured_batch_size != advice.batch_size:
        text += f" instead of {advice.configured_steps_per_epoch:,} with batch size {advice.configured_batch_size:,}"
    return text


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: `1 step`, `2 steps`."""
    return f"{n:,} {noun}{'s' if n > 1 else ''}"


def warnings_about(
    series: Sequence[BenchSeries],
    engines: Sequence[BenchEngine],
    *,
    max_seconds: float,
    n_cores: int,
    busy_cores: float | None,
) -> tuple[str, ...]:
    """Return what makes the measurements doubtful, with the remedy; one line for the state of the machine."""
    warnings = []
    threads = max((engine.threads for engine in engines if engine.device == "cpu"), default=0)
    if threads > n_cores:
        warnings.append(f"{threads} threads share {n_cores} cores and slow one another down; use --threads {n_cores}")
    causes = []
    if busy_cores is not None and busy_cores > _BUSY_CORES:
        causes.append(f"other processes kept {busy_cores:.1f} of {n_cores} cores busy")
    if any(engine.waiting == "sleep" and engine.threads > 1 for engine in engines):
        causes.append("idle threads slept instead of spinning, which slows small batches")
    disturbed = {one.batch_size for one in series if one.statistics and one.statistics.n_disturbed}
    if disturbed:
        causes.append(f"almost all samples of {_listed(disturbed)} were disturbed by other processes")
    wide = {one.batch_size for one in series if one.statistics and one.statistics.spread > _WIDE_SPREAD}
    if wide:
        causes.append(f"the times of {_listed(wide)} vary by more than 10 % (interquartile range)")
    if causes:
        remedy = f"rerun on an idle machine or with --max-time {4 * max_seconds:g}"
        warnings.append(f"timings may be unreliable: {'; '.join(causes)}; {remedy}")
    return tuple(warnings)


def _listed(sizes: Iterable[int]) -> str:
    """Return sizes as a sentence lists them: `batch size 32`, `batch sizes 1 and 6,000`."""
    *first, last = [f"{size:,}" for size in sorted(sizes)]
    return f"batch sizes {', '.join(first)} and {last}" if first else f"batch size {last}"
