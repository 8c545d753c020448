"""`mlcli batch-bench` against itself: how closely two consecutive runs agree.

    python tests/benchmarks/batch_bench_repeat.py [--pairs 1] [--data-dir DIR] [--keep DIR] [-- OPTIONS OF batch-bench]
    python tests/benchmarks/batch_bench_repeat.py --read FIRST.json SECOND.json

Prints a row per series: the reported medians of both runs and their ratio (larger over smaller), then the ratios of
alternatives: the median of all samples, disturbed ones included, their first decile and their minimum. Below it the
advice of both runs, the times they took, and the fastest speed probe of each: if that differs, everything does. The
target is 10 % and the same or a neighbouring size. Nothing is asserted.
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
    "reported": lambda series: series["figures"]["median_seconds"],
    "all": lambda series: median(series["samples"]),
    "decile": lambda series: quantiles(series["samples"], n=10, method="inclusive")[0],
    "least": lambda series: min(series["samples"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--keep", type=Path, help="a directory for the documents of all runs")
    parser.add_argument("--read", type=Path, nargs=2, metavar="FILE", help="two documents instead of two runs")
    parser.add_argument("flags", nargs="*", help="options of batch-bench; default: --backend torch --dataset mnist")
    options = parser.parse_args()
    if options.read:
        compare(*(json.loads(path.read_text()) for path in options.read))
        return
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(options.pairs):
            compare(*runs(options, options.keep or Path(folder), pair))


def runs(options: argparse.Namespace, directory: Path, pair: int) -> Iterator[Document]:
    """Two runs, one right after the other."""
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
        if one["figures"] and other["figures"]:
            both = {name: ratio(estimator(one), estimator(other)) for name, estimator in _ESTIMATORS.items()}
            for name, value in both.items():
                ratios[name].append(value)
            print(
                f"{one['backend']:8} {one['threads']} {one['phase']:8} {one['batch_size']:6,} "
                f"{one['figures']['median_seconds'] * 1e6:10,.1f} {other['figures']['median_seconds'] * 1e6:10,.1f}  "
                f"{'  '.join(f'{value:8.3f}' for value in both.values())}"
            )
    for words, of_all in (("µs; the worst ratio", max), ("the median ratio", median)):
        print(f"{words:25} {'':21}  {'  '.join(f'{of_all(values):8.3f}' for values in ratios.values())}")
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
        verdict = ("the same", "a neighbour")[steps] if steps < 2 else f"{steps} sizes apart"
        print(
            f"advice for {one['backend']} {one['phase']}: {one['batch_size']:,} and {other['batch_size']:,}, {verdict}"
        )


def print_run(document: Document) -> None:
    timing, series = document["timing"], document["series"]
    n_samples = sum(len(one["samples"]) for one in series)
    n_disturbed = sum(sum(one["disturbed"]) for one in series)
    fastest = ", ".join(f"{one['fastest_reference_seconds'] * 1e6:.1f} µs" for one in document["subjects"])
    print(
        f"{timing['wall_seconds']:.1f} s, of which {timing['startup_seconds']:.1f} s to start; "
        f"{timing['unmeasured_share']:.1%} of the rest warm-up and overhead; {n_disturbed:,} of {n_samples:,} samples "
        f"disturbed; others kept {document['busy_cores']:.2f} cores busy; fastest speed probe {fastest}; threads "
        f"{_words(one['waiting'] for one in document['subjects'])}"
    )


def _words(values: Sequence[str] | Iterator[str]) -> str:
    return " and ".join(dict.fromkeys(values))


if __name__ == "__main__":
    main()
