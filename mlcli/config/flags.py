"""The options of the command line that set a configuration key."""

from __future__ import annotations

# The key that each option sets, by the name of the option without its dashes.
CONFIG_KEYS = {
    "backend": "backend",
    "dataset": "dataset.name",
    "data": "dataset.path",
    "test_data": "dataset.test_path",
    "validation_data": "dataset.validation_path",
    "target": "dataset.target",
    "image_size": "dataset.image_size",
    "on_bad": "dataset.on_bad",
    "group": "dataset.group",
    "time": "dataset.time",
    "split_column": "dataset.split_column",
    "model": "model.name",
    "epochs": "training.epochs",
    "batch_size": "training.batch_size",
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "seed": "seed",
    "limit": "dataset.limit",
    "init_from": "init_from.run",
    "device": "runtime.device",
    "threads": "runtime.threads",
    "deterministic": "runtime.deterministic",
    "name": "name",
}
_OPTIONS = {key: f"--{name.replace('_', '-')}" for name, key in CONFIG_KEYS.items()}


def option_of(key: str) -> str:
    """Return the option that sets a configuration key, such as --data for dataset.path."""
    return _OPTIONS[key]
