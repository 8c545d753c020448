"""What is random in a run, its draw: the seed, and the part of the samples on which it is tested, if they are folded.

Variants are compared on the same draws. One division of the samples into folds is a repeat: repeat r has the split seed
of the configuration plus r. Every fold of every repeat is trained with its own seed, so that no verdict depends on the
luck of one: the fold with number j, counted through all repeats, has the seed of the configuration plus j, and each
further run of it 10,000 more. More repeats or more seeds therefore leave the runs that exist as they are.
"""

from __future__ import annotations

from typing import NamedTuple

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError

MOST_CELLS = 10_000
_MOST_SEED = 2**32 - 1


class Draw(NamedTuple):
    """The seed of a run, and the division of the samples and the fold in it; None for samples that are not folded."""

    split_seed: int | None
    fold: int | None
    seed: int

    def __str__(self) -> str:
        return f"seed {self.seed}" if self.fold is None else f"{self.split}, seed {self.seed}"

    @property
    def split(self) -> str:
        """The division and the fold, e.g. `fold 2 of split seed 1`."""
        return f"fold {self.fold} of split seed {self.split_seed}"


def draw_of(config: ExperimentConfig) -> Draw:
    """Return the draw of a run with this configuration."""
    data = config.dataset
    return Draw(None, None, config.seed) if data.folds is None else Draw(data.split_seed, data.fold, config.seed)


def with_draw(config: ExperimentConfig, draw: Draw) -> ExperimentConfig:
    """Return a configuration with the seed and the fold of a draw."""
    if draw.fold is None:
        return config.model_copy(update={"seed": draw.seed})
    dataset = config.dataset.model_copy(update={"split_seed": draw.split_seed, "fold": draw.fold})
    return config.model_copy(update={"seed": draw.seed, "dataset": dataset})


def without_draw(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of a variant: that of its runs, with the same draw in all of them."""
    return with_draw(config, Draw(0, 0, 0) if config.dataset.folds is not None else Draw(None, None, 0))


def seeds_of(text: str, first: int) -> list[Draw]:
    """Return a draw for each seed of --seeds; a number of them counts from `first`. UsageError for anything else."""
    problem = UsageError(f"--seeds {text}: expected a number of seeds, e.g. 5, or a list of seeds, e.g. 0,1,7")
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise problem from None
    if "," not in text:
        if not 1 <= numbers[0] <= MOST_CELLS:
            raise problem
        numbers = list(range(first, first + numbers[0]))
    if min(numbers) < 0 or max(numbers) > _MOST_SEED or len(set(numbers)) < len(numbers):
        raise problem
    return [Draw(None, None, number) for number in numbers]


def folds_of(n_folds: int, n_repeats: int, seeds: str, config: ExperimentConfig) -> list[Draw]:
    """Return the draws of every fold of every repeat, `seeds` of each; see the module. UsageError for too many."""
    if "," in seeds:
        raise UsageError(
            f"--seeds {seeds}: with --folds, every fold has its own seeds, so that no verdict depends on the luck of "
            "one; give a number of seeds for each fold, e.g. 1"
        )
    n_seeds = len(seeds_of(seeds, 0))
    if n_folds * n_repeats * n_seeds > MOST_CELLS:
        raise UsageError(f"--folds {n_folds} --repeats {n_repeats}: a variant has at most {MOST_CELLS:,} runs")
    draws = [
        Draw(config.dataset.split_seed + repeat, fold, config.seed + repeat * n_folds + fold + number * MOST_CELLS)
        for repeat in range(n_repeats)
        for fold in range(n_folds)
        for number in range(n_seeds)
    ]
    if max(max(draw.seed for draw in draws), config.dataset.split_seed + n_repeats) > _MOST_SEED:
        raise UsageError(f"--folds, --repeats: the seeds would exceed {_MOST_SEED}; choose smaller ones")
    return draws
