"""Train the shipped configurations and the defaults in full and check their test accuracy (`make accuracy`).

    python tests/benchmarks/accuracy.py [--only ROW ...] [--data-dir DIR] [--device DEVICE] [--threads N]

Every run is a separate `mlcli train` process. The exit code is 1 if a target is missed. MNIST and Fashion-MNIST are
searched in the data directory of `mlcli data` and in the folder shared/datasets next to the checkout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fashion_files import compressed_copy, find_data_dir
from rich.box import ROUNDED
from rich.table import Table
from tables import console

REFERENCE = "reference"  # in place of a backend: the classifier of scikit-learn with its own defaults
_REFERENCES = {"logistic": "LogisticRegression", "mlp": "MLPClassifier", "cnn": "MLPClassifier"}
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SEEDS = (0, 1, 2)
_CLASSES = {"mnist": "MNIST", "fashion": "FashionMNIST"}

Record = dict[str, Any]


class TrainingError(Exception):
    """A run failed. The message is its error message."""


@dataclass(frozen=True)
class Check:
    """The result of checking the records of a row: the measured value as text, and whether it reaches the target."""

    shown: str
    is_reached: bool


@dataclass(frozen=True)
class Row:
    """Runs of one configuration, and the check of their records.

    config: the name of a shipped file, or with has_defaults a dataset and a model, trained without further settings.
    figure: the target as text. runs: (backend, seed) of each run. check: called with the records in the same order.
    """

    name: str
    config: str
    figure: str
    runs: tuple[tuple[str, int], ...]
    check: Callable[[Sequence[Record]], Check]
    device: str | None = None  # None: the device given on the command line
    has_defaults: bool = False

    @property
    def dataset(self) -> str:
        return self.config.partition("_")[0]

    def source(self, backend: str) -> list[str]:
        """Return the arguments of `mlcli train` that name what is trained."""
        if not self.has_defaults:
            return [str(CONFIGS / f"{self.config}.yaml"), "--backend", backend]
        dataset, _, model = self.config.partition("_")
        if backend != REFERENCE:
            return ["--dataset", dataset, "--model", model, "--backend", backend]
        estimator = f"model.estimator={_REFERENCES[model]}"
        return ["--dataset", dataset, "--model", "estimator", "--set", estimator, "--backend", "sklearn"]


@dataclass
class Outcome:
    """The outcome of a row. seconds: the total time of its runs. epochs: the numbers of epochs that occurred."""

    row: Row
    verdict: str
    shown: str = ""
    seconds: float = 0.0
    epochs: set[int] = field(default_factory=set)

    @property
    def is_reached(self) -> bool:
        return self.verdict == "reached"


def accuracy(record: Record) -> float:
    """Return the test accuracy of a run."""
    return float(record["metrics"]["test"]["accuracy"])


def at_least(least: float, most_epochs: int | None = None) -> Callable[[Sequence[Record]], Check]:
    """Return a check that every run reaches the accuracy `least` in at most `most_epochs` epochs."""

    def check(records: Sequence[Record]) -> Check:
        is_short = most_epochs is None or all(record["epochs"] <= most_epochs for record in records)
        shown = ", ".join(f"{accuracy(record):.4f}" for record in records)
        return Check(shown, is_short and all(accuracy(record) >= least for record in records))

    return check


def near(middle: float, tolerance: float) -> Callable[[Sequence[Record]], Check]:
    """Return a check that every accuracy differs from `middle` by at most `tolerance`."""

    def check(records: Sequence[Record]) -> Check:
        shown = ", ".join(f"{accuracy(record):.4f}" for record in records)
        return Check(shown, all(abs(accuracy(record) - middle) <= tolerance for record in records))

    return check


def n_correct(expected: int) -> Callable[[Sequence[Record]], Check]:
    """Return a check that every run predicts exactly `expected` test samples correctly."""

    def check(records: Sequence[Record]) -> Check:
        counts = [round(accuracy(record) * record["metrics"]["test"]["n_samples"]) for record in records]
        return Check(", ".join(map(str, counts)), all(count == expected for count in counts))

    return check


def means_within(tolerance: float) -> Callable[[Sequence[Record]], Check]:
    """Return a check that the mean accuracies of the engines differ by at most `tolerance`."""

    def check(records: Sequence[Record]) -> Check:
        backends = dict.fromkeys(record["backend"] for record in records)
        means = [
            statistics.fmean(accuracy(record) for record in records if record["backend"] == backend)
            for backend in backends
        ]
        shown = ", ".join(f"{backend} {mean:.4f}" for backend, mean in zip(backends, means, strict=True))
        return Check(shown, max(means) - min(means) <= tolerance)

    return check


def none_below_first(tolerance: float) -> Callable[[Sequence[Record]], Check]:
    """Return a check that no accuracy is more than `tolerance` below that of the first run."""

    def check(records: Sequence[Record]) -> Check:
        shown = ", ".join(f"{accuracy(record):.4f}" for record in records)
        return Check(shown, min(map(accuracy, records)) >= accuracy(records[0]) - tolerance)

    return check


def identical(records: Sequence[Record]) -> Check:
    """Check that two runs have bit-identical weights and equal metrics, by their digests and numbers."""
    first, second = records
    names = [name for name in ("weights", "estimator", "batch_order") if name in first["digests"]]
    is_same = first["metrics"] == second["metrics"] and all(
        first["digests"][name] == second["digests"][name] for name in names
    )
    digests = {record["digests"][names[0]][:12] for record in records}
    return Check(f"{names[0]} {' and '.join(sorted(digests))}", is_same)


def _by_seed(backend: str) -> tuple[tuple[str, int], ...]:
    return tuple((backend, seed) for seed in SEEDS)


def _rows() -> list[Row]:
    rows = [
        Row("iris-sklearn", "iris_logistic", "146 of 150", (("sklearn", 0),), n_correct(146)),
        *(
            Row(f"digits-{name}", "digits_mlp", ">= 0.96", ((name, 0),), at_least(0.96))
            for name in ("sklearn", "torch", "keras")
        ),
        Row("fashion-logistic", "fashion_logistic", "0.843 +/- 0.005", (("sklearn", 0),), near(0.843, 0.005)),
    ]
    for backend in ("torch", "keras"):
        rows += [
            Row(f"mnist-{backend}", "mnist_mlp", ">= 0.975 each", _by_seed(backend), at_least(0.975)),
            Row(f"fashion-{backend}", "fashion_mlp", ">= 0.875 each", _by_seed(backend), at_least(0.875)),
        ]
    both = _by_seed("torch") + _by_seed("keras")
    rows.append(Row("fashion-means", "fashion_mlp", "means within 0.005", both, means_within(0.005)))
    for backend in ("torch", "keras"):
        least = at_least(0.910, most_epochs=10)
        rows.append(Row(f"cnn-{backend}", "fashion_cnn", ">= 0.910, 10 epochs", ((backend, 0),), least))
    for config in ("mnist_logistic", "mnist_mlp", "mnist_cnn", "fashion_logistic", "fashion_mlp", "fashion_cnn"):
        backends = ("torch", "keras") if config.endswith("cnn") else ("sklearn", "torch", "keras")
        runs = tuple((backend, 0) for backend in (REFERENCE, *backends))
        figure = "within 0.02 of the first"
        name = f"default-{config.replace('_', '-')}"
        rows.append(Row(name, config, figure, runs, none_below_first(0.02), has_defaults=True))
    for config, backends in (("digits_mlp", ("sklearn", "torch", "keras")), ("mnist_mlp", ("torch", "keras"))):
        name = config.partition("_")[0]
        rows += [
            Row(
                f"repeat-{name}-{backend}",
                config,
                "bit-identical twice",
                ((backend, 0), (backend, 0)),
                identical,
                "cpu",
            )
            for backend in backends
        ]
    return rows


def main() -> int:
    rows = _rows()
    arguments = _arguments([row.name for row in rows])
    chosen = [row for row in rows if not arguments.only or row.name.startswith(tuple(arguments.only))]
    with tempfile.TemporaryDirectory(prefix="mlcli-accuracy-") as folder:
        runs = _Runs(Path(folder), arguments)
        outcomes = [_outcome(row, runs) for row in chosen]
    _print(outcomes)
    return 0 if all(outcome.is_reached for outcome in outcomes) else 1


def _arguments(names: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="ROW",
        default=[],
        help=f"run only rows with these names or prefixes: {', '.join(names)}",
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="data directory that contains MNIST and Fashion-MNIST"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:N or mps; the repeat rows always use the CPU"
    )
    parser.add_argument("--threads", metavar="N", help="number of CPU threads of each run; default: chosen by mlcli")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.only if not any(row.startswith(name) for row in names)]
    if unknown:
        parser.error(f"no row has the name or prefix {unknown[0]!r}; rows: {', '.join(names)}")
    return arguments


class _Runs:
    """The runs of all rows. A run that several rows need is started only once."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self._folder = folder
        self._arguments = arguments
        self._records: dict[tuple[object, ...], Record] = {}

    def records(self, row: Row) -> list[Record]:
        """Return one record per run of a row. If a row lists a run twice, it is executed twice."""
        device = row.device or self._arguments.device
        seen: dict[tuple[str, int], int] = {}
        records = []
        for backend, seed in row.runs:
            number = seen[backend, seed] = seen.get((backend, seed), 0) + 1
            key = (*row.source(backend), seed, device, number)
            if key not in self._records:
                self._records[key] = self._trained(row, backend, seed, device)
            records.append(self._records[key])
        return records

    def _trained(self, row: Row, backend: str, seed: int, device: str) -> Record:
        print(f"{row.config} on {backend}, seed {seed}", file=sys.stderr, flush=True)
        options = [*row.source(backend), "--seed", str(seed), "--format", "json", "--quiet"]
        # scikit-learn computes most models only on the CPU, so `auto` replaces any other device.
        options += ["--device", "auto" if backend in ("sklearn", REFERENCE) and device != "cpu" else device]
        options += ["--threads", self._arguments.threads] if self._arguments.threads else []
        folders = ["--runs-dir", str(self._folder / "runs"), "--data-dir", str(self._data_dir(row.dataset))]
        command = [str(Path(sys.executable).with_name("mlcli")), "train"]
        result = subprocess.run(
            [*command, *options, *folders], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise TrainingError((result.stderr.strip() or f"exit code {result.returncode}").splitlines()[0])
        record: Record = json.loads(result.stdout)
        return record

    def _data_dir(self, dataset: str) -> Path:
        """Return a temporary data directory with a copy of the dataset, so that the original is never modified."""
        target = self._folder / "data"
        if dataset in _CLASSES and not (target / _CLASSES[dataset]).exists():
            source = find_data_dir(self._arguments.data_dir, _CLASSES[dataset])
            if source is None:
                raise TrainingError(f"{dataset} was not found: run `mlcli data fetch {dataset}`, or use --data-dir")
            compressed_copy(source, target, _CLASSES[dataset])
        return target


def _outcome(row: Row, runs: _Runs) -> Outcome:
    try:
        records = runs.records(row)
    except TrainingError as error:
        return Outcome(row, f"failed: {error}")
    check = row.check(records)
    return Outcome(
        row,
        "reached" if check.is_reached else "MISSED",
        check.shown,
        sum(record["timing"]["total_seconds"] for record in records),
        {record["epochs"] for record in records if record["epochs"]},
    )


def _print(outcomes: Sequence[Outcome]) -> None:
    table = Table(title="test accuracy of the shipped configurations", box=ROUNDED, title_justify="left")
    for header in ("row", "configuration", "target", "test accuracy"):
        table.add_column(header)
    for header in ("epochs", "seconds"):
        table.add_column(header, justify="right")
    table.add_column("verdict")
    for outcome in outcomes:
        epochs = ", ".join(map(str, sorted(outcome.epochs)))
        row = outcome.row
        table.add_row(
            row.name, row.config, row.figure, outcome.shown, epochs, f"{outcome.seconds:.1f}", outcome.verdict
        )
    console().print(table)


if __name__ == "__main__":
    sys.exit(main())
