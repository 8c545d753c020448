"""A benchmark of batch sizes as a reader sees it: a table for each engine and phase, then what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from mlcli.batch_bench.records import BatchBenchRecord, BenchAdvice, BenchFigures, BenchSeries, BenchSubject
from mlcli.batch_bench.table import markdown_rows, print_series_table, seconds_text
from mlcli.rendering.console import OutputFormat, result_console
from mlcli.rendering.tables import print_csv, print_markdown
from mlcli.text import to_json

PHASE_WORDS = {"forward": "prediction", "train": "training"}


def print_batch_bench(record: BatchBenchRecord, output_format: str) -> None:
    """Print a benchmark to stdout. JSON holds every raw sample, CSV every figure in plain units."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(batch_bench_document(record)))
        case OutputFormat.CSV:
            print_csv([flat_row(series, record) for series in record.series])
        case OutputFormat.MARKDOWN:
            _print_markdown(record)
        case OutputFormat.TABLE:
            _print_tables(record)


def _print_tables(record: BatchBenchRecord) -> None:
    console = result_console()
    for title, group in _titled_groups(record):
        if all(series.status == "not applicable" for series in group):
            console.print(f"{title}: not applicable. {group[0].reason}\n", markup=False)
        else:
            print_series_table(title, group)
    for line in closing_lines(record):
        console.print(line, markup=False, soft_wrap=True)


def _print_markdown(record: BatchBenchRecord) -> None:
    for title, group in _titled_groups(record):
        sys.stdout.write(f"**{title}**\n\n")
        print_markdown(markdown_rows(group))
        sys.stdout.write("\n")
    for line in closing_lines(record):
        sys.stdout.write(f"    {line.strip()}\n" if line.startswith("  ") else f"- {line}\n")


def _titled_groups(record: BatchBenchRecord) -> list[tuple[str, list[BenchSeries]]]:
    grouped = groupby(record.series, key=lambda series: (series.backend, series.threads, series.phase))
    groups = [list(group) for _, group in grouped]
    return [(_title(record, group[0]), group) for group in groups]


def _title(record: BatchBenchRecord, series: BenchSeries) -> str:
    subject = _subject(record, series)
    settings = record.settings
    threads = _counted(series.threads, "thread")
    transfer = "copy to the device included" if settings.include_transfer else "batches ready on the device"
    compiled = ", compiled" if settings.compiled else ""
    return (
        f"{series.backend}, {PHASE_WORDS[series.phase]}: {record.dataset} {record.model}, {subject.device}, {threads}, "
        f"{settings.precision}{compiled}, {transfer}"
    )


def _subject(record: BatchBenchRecord, series: BenchSeries) -> BenchSubject:
    return next(
        subject for subject in record.subjects if (subject.backend, subject.threads) == (series.backend, series.threads)
    )


def closing_lines(record: BatchBenchRecord) -> list[str]:
    """Peaks, what the columns mean, where the time went, and which batch size to take, with the line that trains so."""
    several = len({subject.threads for subject in record.subjects}) > 1
    lines = [_peak_line(subject, several) for subject in record.subjects if subject.peak_flops]
    timing = record.timing
    lines += [_undisturbed_line(record, subject, several) for subject in record.subjects]
    lines.append(
        "±: how far the 95 % interval of the median reaches; IQR: from quartile to quartile; "
        "both as shares of the median"
    )
    lines.append(
        f"measured for {timing.measured_seconds:.1f} s of {timing.wall_seconds - timing.startup_seconds:.1f} s, after "
        f"{timing.startup_seconds:.1f} s to start ({timing.unmeasured_share:.0%} warm-up and overhead)"
    )
    for advice in record.advice:
        lines.append(advice_sentence(advice, several_threads=several))
        lines += [f"  {advice.command}"] if advice.command else []
    return lines


def _peak_line(subject: BenchSubject, several_threads: bool) -> str:
    n = max(subject.matrix_products)
    threads = f" with {_counted(subject.threads, 'thread')}" if several_threads else ""
    return (
        f"{subject.backend}{threads}: the fastest matrix product reached {(subject.peak_flops or 0) / 1e9:,.0f} GFLOP/s"
        f" (up to {n:,} x {n:,}, in this run)"
    )


def _undisturbed_line(record: BatchBenchRecord, subject: BenchSubject, several_threads: bool) -> str:
    """Which samples the figures are made of."""
    own = [one for one in record.series if (one.backend, one.threads) == (subject.backend, subject.threads)]
    n_samples = sum(len(one.samples) for one in own)
    n_undisturbed = n_samples - sum(sum(one.disturbed) for one in own)
    threads = f" with {_counted(subject.threads, 'thread')}" if several_threads else ""
    return (
        f"{subject.backend}{threads}: figures are of undisturbed samples, {n_undisturbed:,} of {n_samples:,}; next to "
        f"these, a small matrix product took at most 10 % longer than the fastest in this run "
        f"({seconds_text(subject.fastest_reference_seconds)}, which runs to be compared should share)"
    )


def advice_sentence(advice: BenchAdvice, *, several_threads: bool = False) -> str:
    """Which batch size to take, how much slower than the best it is, and what it means for training."""
    threads = f" with {_counted(advice.threads, 'thread')}" if several_threads else ""
    text = (
        f"{advice.backend}{threads}, {PHASE_WORDS[advice.phase]}: take batches of {advice.batch_size:,} "
        f"({advice.samples_per_second:,.0f} samples/s), "
    )
    if advice.batch_size == advice.best_batch_size:
        text += "the fastest of those measured, and no smaller one is within 5 %"
    else:
        text += (
            f"the smallest within 5 % of the best throughput "
            f"({advice.best_samples_per_second:,.0f} with {advice.best_batch_size:,})"
        )
        if not advice.is_close:
            text += ", for all that these medians can tell"
    if advice.phase == "forward":
        return text
    steps = f"; an epoch is then {_counted(advice.steps_per_epoch, 'step')}"
    if advice.configured_batch_size and advice.configured_batch_size != advice.batch_size:
        steps += f", against {advice.configured_steps_per_epoch:,} with batches of {advice.configured_batch_size:,}"
    return text + steps


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' if n > 1 else ''}"


def batch_bench_document(record: BatchBenchRecord) -> dict[str, object]:
    """The record as plain values, raw samples included, with what is derived from them beside."""
    document = asdict(record)
    document["subjects"] = [
        asdict(subject)
        | {
            "peak_flops": subject.peak_flops,
            "matrix_products": [{"n": n, "seconds": list(seconds)} for n, seconds in subject.matrix_products.items()],
        }
        for subject in record.subjects
    ]
    document["series"] = [asdict(series) | {"figures": _figures(series.figures)} for series in record.series]
    document["timing"] |= {
        "harness_seconds": record.timing.harness_seconds,
        "unmeasured_share": record.timing.unmeasured_share,
    }
    several = len({subject.threads for subject in record.subjects}) > 1
    document["advice"] = [
        asdict(advice) | {"sentence": advice_sentence(advice, several_threads=several)} for advice in record.advice
    ]
    return {"schema_version": document.pop("schema_version")} | document


def _figures(figures: BenchFigures | None) -> dict[str, object] | None:
    if figures is None:
        return None
    return asdict(figures) | {"spread": figures.spread, "half_width": figures.half_width}


def flat_row(series: BenchSeries, record: BatchBenchRecord) -> dict[str, object]:
    """A series as one row of plain values, the same columns for every series."""
    figures = series.figures
    interval = figures.median_interval if figures and figures.median_interval else (None, None)
    row: dict[str, object] = {
        name: getattr(series, name)
        for name in (
            "backend",
            "threads",
            "phase",
            "batch_size",
            "status",
            "steps_per_epoch",
            "last_batch_size",
            "loss",
        )
    }
    row |= {
        "precision": record.settings.precision,
        "compiled": record.settings.compiled,
        "transfer": "included" if record.settings.include_transfer else "excluded",
        "median_seconds": figures.median_seconds if figures else None,
        "median_low_seconds": interval[0],
        "median_high_seconds": interval[1],
    }
    names: Sequence[str] = (
        "first_quartile_seconds", "third_quartile_seconds", "p95_seconds", "seconds_per_sample", "samples_per_second",
        "speedup", "flops", "share_of_peak",
    )  # fmt: skip
    row |= {name: getattr(figures, name) if figures else None for name in names}
    return row | {
        "peak_memory_bytes": series.peak_memory_bytes,
        "first_call_seconds": series.first_call_seconds,
        "n_samples_taken": len(series.samples),
        "n_samples_disturbed": sum(series.disturbed),
        "median_of_all_seconds": figures.median_of_all_seconds if figures else None,
        "calls_per_sample": series.calls_per_sample,
        "reason": series.reason,
    }
