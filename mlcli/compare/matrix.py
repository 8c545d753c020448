"""A matrix: every variant with every seed, planned without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from mlcli.compare.variants import distinguishing_settings, label_of
from mlcli.config.dump import config_digest
from mlcli.config.experiment import load_experiment, named_backends
from mlcli.config.schema import DatasetConfig, ExperimentConfig
from mlcli.data.load import load_dataset
from mlcli.errors import ConfigError, UsageError
from mlcli.experiment.digests import experiment_digests
from mlcli.experiment.initial_weights import pin_initial_weights
from mlcli.experiment.plan import make_plan
from mlcli.records import Dataset
from mlcli.runs.find import default_runs_directory

_MOST_CELLS = 10_000


@dataclass(frozen=True)
class MatrixRequest:
    """What is to be compared. vary: texts `key.path=value,value`. seeds: a number of seeds, or seeds with commas."""

    path: Path | None
    backends: Sequence[str] = ()
    seeds: str = "3"
    vary: Sequence[str] = ()
    settings: Sequence[str] = ()
    flags: Mapping[str, object] | None = None
    data_directory: Path | None = None
    offline: bool = False
    runs_directory: Path | None = None  # where a run under `init_from` is looked for; None: where runs are kept


@dataclass(frozen=True)
class Cell:
    """One run of the matrix. config: with all defaults filled in. digest: of the experiment, what it is found by.

    refusal: why it cannot be run at all; it has no digest then.
    """

    label: str
    config: ExperimentConfig
    digest: str = ""
    refusal: str | None = None

    @property
    def seed(self) -> int:
        return self.config.seed


def plan_matrix(request: MatrixRequest) -> list[Cell]:
    """The cells in the order in which they are run: every variant once, then every variant again with the next seed.

    Reads each dataset once, for its fingerprint. ConfigError for faults in the configuration; UsageError where no
    variant can be run. A variant that one engine cannot do is kept, with the reason.
    """
    rounds = [_configs(request, seed) for seed in _seeds(request)]
    runs_directory = request.runs_directory or default_runs_directory()
    planned = [[_planned(config, runs_directory) for config in configs] for configs in rounds]
    _check(planned[0])
    labels = [label_of(settings) for settings in distinguishing_settings([config for config, _ in planned[0]])]
    datasets: dict[DatasetConfig, Dataset] = {}
    cells = []
    for configs in planned:
        for label, (config, refusal) in zip(labels, configs, strict=True):
            digest = "" if refusal else _digest(config, datasets, request)
            cells.append(Cell(label, config, digest, refusal))
    return cells


def _configs(request: MatrixRequest, seed: int | None) -> list[ExperimentConfig]:
    """The variants with one seed; None: that of the configuration."""
    axes = [_axis(text) for text in request.vary]
    named: Sequence[str | None] = named_backends(request.path) if request.path else [None]
    configs = []
    settings = product(*[[f"{key}={value}" for value in values] for key, values in axes])
    for backend, chosen in product(request.backends or named, settings):
        flags = {**(request.flags or {}), "backend": backend, "seed": seed}
        configs.append(load_experiment(request.path, flags=flags, settings=[*request.settings, *chosen]))
    return configs


def _seeds(request: MatrixRequest) -> list[int]:
    text = request.seeds
    problem = UsageError(f"--seeds {text}: give a number of seeds, e.g. 5, or seeds with commas, e.g. 0,1,7")
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise problem from None
    if "," in text:
        if min(numbers) < 0 or len(set(numbers)) < len(numbers):
            raise problem
        return numbers
    if not 1 <= numbers[0] <= _MOST_CELLS:
        raise problem
    first = _configs(request, None)[0].seed
    return list(range(first, first + numbers[0]))


def _axis(text: str) -> tuple[str, list[str]]:
    """A key and its values; commas within brackets belong to the value."""
    key, equals, rest = text.partition("=")
    values, depth = [""], 0
    for character in rest:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            values.append("")
        else:
            values[-1] += character
    values = [value.strip() for value in values]
    if not equals or not all(values) or key.strip() == "seed" or len(set(values)) < len(values):
        raise UsageError(
            f"--vary {text}: give a key and different values, e.g. optimizer.lr=0.001,0.0003; seeds vary with --seeds"
        )
    return key.strip(), values


def _planned(config: ExperimentConfig, runs_directory: Path) -> tuple[ExperimentConfig, str | None]:
    try:
        return pin_initial_weights(make_plan(config), runs_directory).config, None
    except ConfigError:
        raise
    except UsageError as error:
        return config, str(error)


def _check(variants: Sequence[tuple[ExperimentConfig, str | None]]) -> None:
    if all(refusal for _, refusal in variants):
        raise UsageError(variants[0][1] or "")
    if len({config_digest(config) for config, _ in variants}) < len(variants):
        raise UsageError("--vary: two variants are the same experiment; give values that differ")


def _digest(config: ExperimentConfig, datasets: dict[DatasetConfig, Dataset], request: MatrixRequest) -> str:
    if config.dataset not in datasets:
        datasets[config.dataset] = load_dataset(
            config.dataset, data_dir=request.data_directory, offline=request.offline
        )
    return experiment_digests(config, datasets[config.dataset])["experiment"]
