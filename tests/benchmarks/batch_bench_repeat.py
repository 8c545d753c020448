"""Measure how closely two consecutive runs of `mlcli batch-bench` agree.

    python tests/benchmarks/batch_bench_repeat.py [--pairs 1] [--data-dir DIR] [--keep DIR] [-- OPTIONS OF batch-bench]
    python tests/benchmarks/batch_bench_repeat.py --read FIRST.json SECOND.json

Prints one row per series: the reported medians of both runs and their ratio (larger to smaller), then the ratios of
three alternatives: the median of all samples including disturbed ones, the first decile and the minimum. Then prints
the recommended batch sizes, the durations and the fastest speed probe of both runs. If the speed probes differ, the
speed of the machine has changed between the runs. The target is a difference of at most 10 %, and the same or a
neighbouring batch size. The exit code does not depend on the result.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Document = dict[str, Any]
_ESTIMATORS: dict[str, Callable[[Document], float]] = {
    "reported": lambda series: series["statistics"]["median_seconds"],
    "all": lambda series: median(series["samples"]),
    "decile": lambda series: quantiles(series["samples"], n=10, method="inclusive")[0],
    "minimum": lambda series: min(series["samples"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1, help="number of pairs of runs")
    parser.add_argument("--data-dir", type=Path, help="data directory that contains the dataset")
    parser.add_argument("--keep", type=Path, help="keep the JSON documents of all runs in this directory")
    parser.add_argument(
        "--read", type=Path, nargs=2, metavar="FILE", help="compare two existing JSON documents instead of running"
    )
    parser.add_argument("flags", nargs="*", help="options for batch-bench; default: --backend torch --dataset mnist")
    options = parser.parse_args()
    if options.read:
        compare(*(json.loads(path.read_text()) for path in options.read))
        return
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            compare(*runs(options, options.keep or Path(folder), pair))


def runs(options: argparse.Namespace, directory: Path, pair: int) -> Iterator[Document]:
    """Run batch-bench twice, one run directly after the other, and yield the JSON documents."""
    directory.mkdir(parents=True, exist_ok=True)
    flags = options.flags or ["--backend", "torch", "--dataset", "mnist"]
    flags += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    for run in (1, 2):
        path = directory / f"batch_bench_{pair + 1}_{run}.json"
        subprocess.run([sys.executable, "-m", "mlcli", "batch-bench", *flags, "-q", "-o", path], check=True)
        yield json.loads(path.read_text())


def compare(first: Document, second: Document) -> None:
    print(f"{'':25} {'first':>10} {'second':>10}  {'  '.join(f'{name:>8}' for name in _ESTIMATORS)}")
    ratios: dict[str, list[float]] = {name: [] for name in _ESTIMATORS}
    for one, other in zip(first["series"], second["series"], strict=True):
        if one["statistics"] and other["statistics"]:
            both = {name: ratio(estimator(one), estimator(other)) for name, estimator in _ESTIMATORS.items()}
            for name, value in both.items():
                ratios[name].append(value)
            print(
                f"{one['backend']:8} {one['threads']} {one['phase']:8} {one['batch_size']:6,} "
                f"{one['statistics']['median_seconds'] * 1e6:10,.1f} "
                f"{other['statistics']['median_seconds'] * 1e6:10,.1f}  "
                f"{'  '.join(f'{value:8.3f}' for value in both.values())}"
            )
    for label, summary in (("µs; largest ratio", max), ("median ratio", median)):
        print(f"{label:25} {'':21}  {'  '.join(f'{summary(values):8.3f}' for values in ratios.values())}")
    within = sum(value <= 1.1 for value in ratios["reported"])
    print(f"{within} of {len(ratios['reported'])} reported medians within 10 %")
    print_advice(first, second)
    for document in (first, second):
        print_run(document)


def ratio(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


def print_advice(first: Document, second: Document) -> None:
    for one, other in zip(first["advice"], second["advice"], strict=True):
        sizes = sorted({series["batch_size"] for series in first["series"]})
        steps = abs(sizes.index(one["batch_size"]) - sizes.index(other["batch_size"]))
        verdict = ("same size", "neighbouring sizes")[steps] if steps < 2 else f"{steps} sizes apart"
        sizes_text = f"{one['batch_size']:,} and {other['batch_size']:,}"
        print(f"recommended batch sizes for {one['backend']} {one['phase']}: {sizes_text}, {verdict}")


def print_run(document: Document) -> None:
    timing, series = document["timing"], document["series"]
    n_samples = sum(len(one["samples"]) for one in series)
    n_disturbed = sum(sum(one["disturbed"]) for one in series)
    fastest = ", ".join(f"{one['fastest_probe_seconds'] * 1e6:.1f} µs" for one in document["engines"])
    print(
        f"{timing['wall_seconds']:.1f} s, of which {timing['startup_seconds']:.1f} s startup; "
        f"{timing['unmeasured_fraction']:.1%} of the rest warm-up and overhead; "
        f"{n_disturbed:,} of {n_samples:,} samples "
        f"disturbed; background load {document['busy_cores']:.2f} cores; fastest speed probe {fastest}; threads "
        f"{_distinct(one['waiting'] for one in document['engines'])}"
    )


def _distinct(values: Sequence[str] | Iterator[str]) -> str:
    return " and ".join(dict.fromkeys(values))


if __name__ == "__main__":
    main()
