"""The matrix of a comparison: every variant with every seed and fold, planned without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path
from random import Random

from mlcli.compare import DEFAULT_SEEDS, CompareRequest
from mlcli.compare.draws import Draw, draw_of, folds_of, seeds_of, with_draw, without_draw
from mlcli.compare.variants import distinguishing_settings, label_of
from mlcli.config.dataset import DatasetConfig
from mlcli.config.dump import config_digest
from mlcli.config.experiment import read_layers, resolved_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.data.load import load_dataset
from mlcli.errors import ConfigError, UsageError
from mlcli.experiment.initial_weights import pinned, read_source
from mlcli.experiment.plan import experiment_digests, make_plan
from mlcli.records import Dataset
from mlcli.registry import backend_info


@dataclass(frozen=True)
class Cell:
    """One run of the matrix.

    config: with all defaults filled in. digest: that of the experiment, by which its run is found. refusal: why it
    cannot run at all; such a cell has no digest.
    """

    label: str
    config: ExperimentConfig
    digest: str = ""
    refusal: str | None = None

    @property
    def draw(self) -> Draw:
        return draw_of(self.config)


def plan_matrix(request: CompareRequest, runs_directory: Path) -> list[Cell]:
    """Return the cells: every variant with the first seed, or on the first fold, then with the next.

    Reads the configuration once and each dataset once, or once for each fold. ConfigError for issues in the
    configuration; UsageError if no variant can run. A variant that its engine does not support is kept, with the
    reason.

    runs_directory: where a run under `init_from` is looked for.
    """
    variants = [_planned(config, runs_directory, request.data_dir) for config in _configurations(request)]
    if all(variant.refusal for variant in variants):
        raise UsageError(variants[0].refusal or "")
    if len({config_digest(without_draw(variant.config)) for variant in variants}) < len(variants):
        raise UsageError("--vary: two variants are the same experiment; give values that differ")
    labels = [label_of(settings) for settings in distinguishing_settings([variant.config for variant in variants])]
    cells = []
    data: dict[DatasetConfig, Dataset] = {}  # of the present split alone
    for draw in _draws(request, variants[0].config):
        configs = [with_draw(variant.config, draw) for variant in variants]
        used = dict.fromkeys(config.dataset for config, cell in zip(configs, variants, strict=True) if not cell.refusal)
        data = {
            key: data.get(key) or load_dataset(key, data_dir=request.data_dir, offline=request.offline) for key in used
        }
        for label, variant, config in zip(labels, variants, configs, strict=True):
            digest = "" if variant.refusal else experiment_digests(config, data[config.dataset])["experiment"]
            cells.append(replace(variant, label=label, config=config, digest=digest))
    return cells


def _draws(request: CompareRequest, config: ExperimentConfig) -> list[Draw]:
    if request.folds is None:
        return seeds_of(DEFAULT_SEEDS if request.seeds is None else request.seeds, first=config.seed)
    return folds_of(request.folds, request.repeats or 1, "1" if request.seeds is None else request.seeds, config)


def running_order(cells: Sequence[Cell], random: Random) -> list[int]:
    """Return the indices of the cells in the order in which they run: in rounds, one for each draw.

    Two rounds belong together: the first has the variants in random order, the second in the reverse of it. So each of
    two variants precedes the other in every second round, and a machine that becomes steadily slower or faster shifts
    the ratio of their times as often up as down.
    """
    rounds = [list(indices) for _, indices in groupby(range(len(cells)), key=lambda index: cells[index].draw)]
    order: list[int] = []
    positions: list[int] = []
    for number, indices in enumerate(rounds):
        positions = positions[::-1] if number % 2 else random.sample(range(len(indices)), len(indices))
        order += [indices[position] for position in positions]
    return order


def _configurations(request: CompareRequest) -> list[ExperimentConfig]:
    """Return a configuration per engine and combination of --vary values, all with the seed of the configuration."""
    for name in request.backend_names:
        backend_info(name)
    layers = read_layers(request.config_path)
    backends: Sequence[str | None] = request.backend_names or (layers.backends() if request.config_path else [None])
    axes = [_axis(text) for text in request.vary]
    settings = product(*[[f"{key}={value}" for value in values] for key, values in axes])
    folds = {} if request.folds is None else {"dataset.fold": 0, "dataset.folds": request.folds}
    flags = {**request.flags, "runtime.device": request.device, "runtime.threads": request.threads, **folds}
    configs = [
        resolved_experiment(layers, flags={**flags, "backend": backend}, settings=[*request.settings, *chosen])
        for backend, chosen in product(backends, settings)
    ]
    if folds and any(config.dataset.time is not None for config in configs):
        raise UsageError(
            "--folds: dataset.time has windows that cannot be drawn anew, and verdicts over folds suppose that they "
            "are\ncompare over --seeds on the latest rows, or remove dataset.time"
        )
    return configs


def _axis(text: str) -> tuple[str, list[str]]:
    """Return the key and the values of --vary; commas within brackets belong to the value."""
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
            f"--vary {text}: expected a key and different values, e.g. optimizer.lr=0.001,0.0003; "
            "seeds are varied with --seeds"
        )
    return key.strip(), values


def _planned(config: ExperimentConfig, runs_directory: Path, data_dir: Path | None) -> Cell:
    """Return the cell of this configuration, without label and digest."""
    try:
        plan = make_plan(config, data_dir)
        return Cell("", pinned(plan, read_source(plan, runs_directory)).config)
    except ConfigError:
        raise
    except UsageError as error:
        return Cell("", config, refusal=str(error))
