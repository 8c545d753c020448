"""Compare `mlcli batch-bench` with the timer of torch, on the same model, sizes and threads, in one process.

    python tests/benchmarks/batch_bench_timer.py --data-dir DIR [--threads 2] [--seconds 0.15] [--rounds 12]

The timer measures two variants. "same" is the model and training step that mlcli measures, in the same mode: it shows
whether mlcli measures correctly. "plain" is the simplest code that a user would write (`model(x)`; zero_grad,
cross_entropy, backward and torch.optim.Adam(fused=True).step): it shows whether mlcli measures the right work. All
variants use the same samples and alternate, so that background load affects them equally. Prints one row per phase and
size: the medians of all samples, and the medians over the rounds of the ratios within a round.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mlcli.experiment.threads import set_thread_environment

if TYPE_CHECKING:
    from torch import Tensor

SIZES = (1, 10, 100, 300, 600, 1000, 6000, 60000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="data directory that contains MNIST")
    parser.add_argument("--threads", type=int, default=2, help="number of CPU threads")
    parser.add_argument("--seconds", type=float, default=0.15, help="duration of each measurement in seconds")
    parser.add_argument("--rounds", type=int, default=12, help="number of rounds")
    parser.add_argument(
        "--sizes", type=lambda text: tuple(map(int, text.split(","))), default=SIZES, help="batch sizes, e.g. 1,10"
    )
    options = parser.parse_args()
    set_thread_environment(options.threads)
    print(f"{'phase':8} {'size':>6} {'mlcli':>12} {'Timer, same':>12} {'ratio':>6} {'Timer, plain':>13} {'ratio':>6}")
    for phase, size, rounds in compare(options):
        ours, same, plain = ([seconds for one in rounds for seconds in one[who]] for who in range(3))
        by_round = [[median(samples) for samples in one] for one in rounds]
        to_same, to_plain = (median([one[0] / one[who] for one in by_round]) for who in (1, 2))
        print(
            f"{phase:8} {size:6} {median(ours) * 1e6:9.1f} µs {median(same) * 1e6:9.1f} µs {to_same:6.3f} "
            f"{median(plain) * 1e6:10.1f} µs {to_plain:6.3f}",
            flush=True,
        )


def compare(options: argparse.Namespace) -> Iterator[tuple[str, int, list[list[list[float]]]]]:
    """Yield phase, size and, for each round, the samples in seconds of mlcli, "same" and "plain"."""
    import gc

    import torch
    from torch.utils.benchmark import Timer

    from mlcli.batch_bench.measurement import MeasuredEngine
    from mlcli.batch_bench.records import MeasurementRequest

    data_directory = options.data_dir
    plain = HandWritten(data_directory)
    same = SameStep(data_directory, options.threads, plain)
    ours = MeasuredEngine(same.prepared)
    gc.disable()
    for size in options.sizes:
        for phase in ("forward", "train"):
            calls = [getattr(work, phase)(size) for work in (same, plain)]
            timers = [Timer("call()", globals={"call": call}, num_threads=options.threads) for call in calls]
            for timer in timers:
                with torch.inference_mode(phase == "forward"):
                    timer.timeit(1)
            rounds = []
            for _ in range(options.rounds):
                request = MeasurementRequest(phase, size, options.seconds, None, warmup_seconds=0.1)
                samples = [list(ours.measure(request).samples)]
                with torch.inference_mode(phase == "forward"):
                    samples += [timer.blocked_autorange(min_run_time=options.seconds).times for timer in timers]
                rounds.append(samples)
            yield phase, size, rounds


def experiment():
    """Return an experiment with the default model and optimizer on MNIST: 256 hidden units, Adam."""
    from mlcli.config.schema import ExperimentConfig

    return ExperimentConfig.model_validate({"backend": "torch", "dataset": {"name": "mnist"}})


class SameStep:
    """The model and training step of the torch engine, for the timer."""

    def __init__(self, data_directory: Path | None, threads: int, plain: HandWritten) -> None:
        from mlcli.batch_bench.measurement import prepare
        from mlcli.batch_bench.records import WorkerSpec
        from mlcli.experiment.plan import make_plan

        self.prepared = prepare(WorkerSpec(make_plan(experiment()), None, threads, data_directory=data_directory))
        self.engine = self.prepared.engine
        self.batches = plain.batches

    def forward(self, size: int) -> Callable[[], None]:
        batches, model = self.batches(size), self.engine._model

        def call() -> None:
            model(next(batches)[0])

        return call

    def train(self, size: int) -> Callable[[], None]:
        import torch

        batches, step = self.batches(size), self.engine._train_step
        scores, loss = torch.empty(size, 10), torch.empty(())

        def call() -> None:
            step(*next(batches), 1e-9, scores, loss)

        return call


class HandWritten:
    """The same model and samples in plain PyTorch code, for the timer."""

    def __init__(self, data_directory: Path | None) -> None:
        import torch
        from torch import nn

        from mlcli.config.schema import DatasetConfig
        from mlcli.data.load import load_dataset

        dataset = load_dataset(DatasetConfig(name="mnist"), data_dir=data_directory)
        self.x = torch.tensor(dataset.train.x).float() / 255
        self.y = torch.tensor(dataset.train.y)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-9, fused=True)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        n_whole = len(self.x) // size * size
        return itertools.cycle(list(zip(self.x[:n_whole].split(size), self.y[:n_whole].split(size), strict=True)))

    def forward(self, size: int) -> Callable[[], None]:
        import torch

        batches = self.batches(size)

        @torch.inference_mode()
        def call() -> None:
            self.model(next(batches)[0])

        return call

    def train(self, size: int) -> Callable[[], None]:
        from torch.nn import functional

        batches = self.batches(size)

        def call() -> None:
            x, y = next(batches)
            self.optimizer.zero_grad()
            functional.cross_entropy(self.model(x), y).backward()
            self.optimizer.step()

        return call


if __name__ == "__main__":
    main()
