"""A benchmark as one JSON document and as CSV rows."""

from __future__ import annotations

from dataclasses import asdict

from mlcli.batch_bench.advice import advice_sentence
from mlcli.batch_bench.records import BatchBenchRecord, BenchEngine, BenchSeries


def batch_bench_document(record: BatchBenchRecord) -> dict[str, object]:
    """Return the record as plain values, raw samples included, with what is derived from them."""
    document = asdict(record)
    document = {"schema_version": document.pop("schema_version")} | document
    document["settings"]["tile"] = False  # kept for readers of schema version 1
    document["subjects"] = [_engine_document(engine) for engine in record.engines]
    document["series"] = [_series_document(series) for series in record.series]
    document["timing"] |= {
        "harness_seconds": record.timing.harness_seconds,
        "unmeasured_share": record.timing.unmeasured_share,
    }
    several = record.has_several_thread_counts
    document["advice"] = [
        asdict(advice) | {"sentence": advice_sentence(advice, several_threads=several)} for advice in record.advice
    ]
    del document["engines"]
    return document


def _engine_document(engine: BenchEngine) -> dict[str, object]:
    document = asdict(engine)
    document["fastest_reference_seconds"] = document.pop("fastest_probe_seconds")
    document["peak_flops"] = engine.peak_flops
    document["matrix_products"] = [{"n": n, "seconds": list(seconds)} for n, seconds in engine.matrix_products.items()]
    return document


def _series_document(series: BenchSeries) -> dict[str, object]:
    document = asdict(series)
    document["references"] = document.pop("probes")
    document["figures"] = document.pop("statistics")
    if series.statistics is not None:
        document["figures"] |= {"spread": series.statistics.spread, "half_width": series.statistics.half_width}
    return document


_SERIES_FIELDS = (
    "backend", "threads", "phase", "batch_size", "status", "steps_per_epoch", "last_batch_size", "loss",
)  # fmt: skip
_STATISTICS_FIELDS = (
    "first_quartile_seconds", "third_quartile_seconds", "p95_seconds", "seconds_per_sample", "samples_per_second",
    "speedup", "flops", "share_of_peak",
)  # fmt: skip


def flat_row(series: BenchSeries, record: BatchBenchRecord) -> dict[str, object]:
    """Return a series as one row of plain values, the same columns for every series."""
    statistics = series.statistics
    low, high = statistics.median_interval if statistics and statistics.median_interval else (None, None)
    return {
        **{name: getattr(series, name) for name in _SERIES_FIELDS},
        "precision": record.settings.precision,
        "compiled": record.settings.compiled,
        "transfer": "included" if record.settings.include_transfer else "excluded",
        "median_seconds": statistics.median_seconds if statistics else None,
        "median_low_seconds": low,
        "median_high_seconds": high,
        **{name: getattr(statistics, name) if statistics else None for name in _STATISTICS_FIELDS},
        "peak_memory_bytes": series.peak_memory_bytes,
        "first_call_seconds": series.first_call_seconds,
        "n_samples_taken": len(series.samples),
        "n_samples_disturbed": sum(series.disturbed),
        "median_of_all_seconds": statistics.median_of_all_seconds if statistics else None,
        "calls_per_sample": series.calls_per_sample,
        "reason": series.reason,
    }
