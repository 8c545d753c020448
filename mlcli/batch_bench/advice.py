"""What the figures say to do, and what makes them doubtful, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from mlcli.batch_bench.records import (
    CLOSE_ENOUGH,
    BenchAdvice,
    BenchFigures,
    BenchSeries,
    BenchSettings,
    BenchSubject,
    Phase,
)

_PERHAPS_CLOSE = 0.90  # of the best throughput; what is less is not close enough, whatever its interval says
_WIDE_SPREAD = 0.10
_COARSE_CLOCK = 0.01  # of the time of a sample
_LONG_FIRST_CALL = 10.0  # times the median
_BUSY_CORES = 0.25

Group = tuple[str, int, Phase]


def advise(
    series: Sequence[BenchSeries],
    n_samples: int,
    configured: int | None,
    command: Callable[[str, int, int], str | None],
) -> tuple[BenchAdvice, ...]:
    """For each engine, thread count and phase the smallest size within 5 % of its best throughput.

    A size counts as within 5 % unless the intervals of the two medians rule that out. Whether a median passes exactly
    5 % is chance, and often two sizes or three lie near it: with medians that are known to 2 %, two runs advise the
    same size or a neighbour in 50 to 95 of 100 cases without the intervals, by the shape of the curve, and in 99 with
    them. Where medians are known less well, more than 10 % below the best is never called close.

    n_samples: in an epoch; a larger, tiled batch is none to train with. configured: the batch size that the experiment
    has. command: of a backend, a thread count and a batch size, the line that trains so.
    """
    advice = []
    for group in _groups(series):
        measured = [one for one in group if one.figures is not None]
        eligible = [one for one in measured if one.phase == "forward" or one.batch_size <= n_samples]
        if eligible:
            advice.append(_advice(eligible, n_samples, configured, command))
    return tuple(advice)


def _groups(series: Iterable[BenchSeries]) -> list[list[BenchSeries]]:
    groups: dict[Group, list[BenchSeries]] = {}
    for one in series:
        groups.setdefault((one.backend, one.threads, one.phase), []).append(one)
    return [sorted(group, key=lambda one: one.batch_size) for group in groups.values()]


def _advice(
    series: list[BenchSeries],
    n_samples: int,
    configured: int | None,
    command: Callable[[str, int, int], str | None],
) -> BenchAdvice:
    figures = {one.batch_size: one.figures for one in series if one.figures is not None}
    throughputs = {size: one.samples_per_second for size, one in figures.items()}
    best = max(throughputs, key=throughputs.__getitem__)
    chosen = min(size for size, one in figures.items() if size == best or _may_be_close(one, figures[best]))
    row = next(one for one in series if one.batch_size == chosen)
    return BenchAdvice(
        backend=row.backend,
        threads=row.threads,
        phase=row.phase,
        batch_size=chosen,
        samples_per_second=throughputs[chosen],
        best_batch_size=best,
        best_samples_per_second=throughputs[best],
        steps_per_epoch=row.steps_per_epoch,
        last_batch_size=row.last_batch_size,
        configured_batch_size=configured,
        configured_steps_per_epoch=math.ceil(n_samples / configured) if configured else None,
        command=command(row.backend, row.threads, chosen) if row.phase == "train" else None,
    )


def _may_be_close(figures: BenchFigures, best: BenchFigures) -> bool:
    """Whether the throughput of the one may be within 5 % of the other's, for what their intervals say."""
    share = figures.samples_per_second / best.samples_per_second
    if figures.median_interval is None or best.median_interval is None:
        return share >= CLOSE_ENOUGH
    at_most = figures.median_seconds / figures.median_interval[0]
    best_at_least = best.median_seconds / best.median_interval[1]
    return share >= _PERHAPS_CLOSE and share * at_most >= CLOSE_ENOUGH * best_at_least


def warn(
    series: Sequence[BenchSeries], subjects: Sequence[BenchSubject], settings: BenchSettings, *,
    n_cores: int, busy_cores: float | None,
) -> tuple[str, ...]:  # fmt: skip
    """What makes the figures doubtful, with the flag that helps. One line for all sizes of a series."""
    return (
        *_too_many_threads(subjects, n_cores),
        *_busy(busy_cores, n_cores),
        *_sleeping(subjects),
        *(line for group in _groups(series) for line in _of_group(group, settings, subjects)),
    )


def _too_many_threads(subjects: Sequence[BenchSubject], n_cores: int) -> Iterator[str]:
    for threads in sorted({subject.threads for subject in subjects if subject.device == "cpu"}):
        if threads > n_cores:
            yield (
                f"{threads} threads share {n_cores} cores and wait for one another; "
                f"use --threads {n_cores} for what this machine can do"
            )


def _busy(busy_cores: float | None, n_cores: int) -> Iterator[str]:
    if busy_cores is not None and busy_cores > _BUSY_CORES:
        yield (
            f"other programs kept {busy_cores:.1f} of {n_cores} cores busy meanwhile: the times may be longer than "
            "this machine needs; run again when it is idle, or with a longer --max-time"
        )


def _sleeping(subjects: Sequence[BenchSubject]) -> Iterator[str]:
    if any(subject.waiting == "sleep" and subject.threads > 1 for subject in subjects):
        yield (
            "waiting threads slept instead of spinning, as they do where the machine is busy or OMP_WAIT_POLICY says "
            "so, which makes small batches slower; run again when it is idle, or with --threads 1"
        )


def _of_group(series: list[BenchSeries], settings: BenchSettings, subjects: Sequence[BenchSubject]) -> Iterator[str]:
    measured = [(one, one.figures) for one in series if one.figures is not None]
    name = f"{series[0].backend} {series[0].phase}"
    if len({one.threads for one in subjects}) > 1:
        name += f" with {series[0].threads} thread{'s' if series[0].threads > 1 else ''}"
    yield from _disturbed(name, measured, settings)
    wide = {one.batch_size: figures.spread for one, figures in measured if figures.spread > _WIDE_SPREAD}
    if wide:
        yield (
            f"{name}: the times of {_sizes(wide)} spread by more than 10 % (quartiles {max(wide.values()):.0%} apart); "
            f"--max-time {_longer(settings.max_seconds)} takes more samples, and other programs are better closed"
        )
    resolution = next(one.clock_resolution_seconds for one in subjects if one.backend == series[0].backend)
    coarse = [
        one.batch_size
        for one, figures in measured
        if resolution > _COARSE_CLOCK * figures.median_seconds * (one.calls_per_sample or 1)
    ]
    if coarse:
        yield f"{name}: the clock ticks every {resolution:.2g} s, too coarse for {_sizes(coarse)}; use larger --sizes"
    yield from _long_first_calls(name, measured, settings)


def _disturbed(
    name: str, measured: Iterable[tuple[BenchSeries, BenchFigures]], settings: BenchSettings
) -> Iterator[str]:
    slowdowns = {one.batch_size: figures.slowdown for one, figures in measured if figures.n_disturbed}
    if slowdowns:
        yield (
            f"{name}: other work on this machine hardly ever left {_sizes(slowdowns)} alone; the figures are of the "
            f"least disturbed samples, next to which a small matrix product took up to {max(slowdowns.values()):.1f} "
            f"times its best; run again when the machine is idle, or with --max-time {_longer(settings.max_seconds)}"
        )


def _long_first_calls(
    name: str, measured: Iterable[tuple[BenchSeries, BenchFigures]], settings: BenchSettings
) -> Iterator[str]:
    ratios = {
        one.batch_size: one.first_call_seconds / figures.median_seconds
        for one, figures in measured
        if one.first_call_seconds is not None
    }
    long = {size: ratio for size, ratio in ratios.items() if ratio > _LONG_FIRST_CALL}
    if not long:
        return
    remedy = "it is shorter without --compile" if settings.compiled else "a longer --max-time warms up for longer"
    yield (
        f"{name}: the first call with {_sizes(long)} took up to {max(long.values()):,.0f} times the median; it is "
        f"shown apart and in no median, but a program that makes few calls pays it ({remedy})"
    )


def _sizes(sizes: Iterable[int]) -> str:
    numbers = [f"{size:,}" for size in sizes]
    listed = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"batches of {listed}"


def _longer(seconds: float) -> str:
    return f"{4 * seconds:g}"
