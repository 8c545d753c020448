"""What `mlcli config` does: list, copy, resolve and check configurations, and print their JSON Schema.

Imports nothing heavy until a function is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.config.shipped import content_elsewhere, description, shipped_config, shipped_configs
from mlcli.errors import ConfigError, UsageError
from mlcli.text import escaped, to_json

if TYPE_CHECKING:
    from mlcli.config.experiment import ConfigLayers


@dataclass(frozen=True)
class ResolvedConfiguration:
    """A configuration for one engine as YAML, and why it cannot be trained (None: it can)."""

    yaml: str
    refusal: str | None


def resolve_configuration(path: Path | None, backend: str | None, settings: Sequence[str]) -> ResolvedConfiguration:
    """Return the configuration with every default, also those that depend on the engine; ConfigError for issues.

    path: the YAML file; None for the defaults. If the engine cannot train it, those defaults stay null.
    """
    from mlcli.config.dump import to_yaml
    from mlcli.config.experiment import load_experiment
    from mlcli.experiment.plan import make_plan

    config = load_experiment(path, flags={"backend": backend}, settings=settings)
    try:
        return ResolvedConfiguration(to_yaml(make_plan(config).config), None)
    except UsageError as error:
        return ResolvedConfiguration(to_yaml(config), str(error))


def check_file(path: Path) -> tuple[str, ...]:
    """Return the engines that a file names, if each can train it; ConfigError with every issue, also why one cannot.

    The environment is ignored.
    """
    from mlcli.config.experiment import read_layers

    layers = read_layers(path, {})
    backends = () if layers.issues else layers.backends()
    issues = [issue for backend in (None, *backends) for issue in _issues(path, layers, backend)]
    if issues:
        raise ConfigError(list(dict.fromkeys(issues)))
    return backends


def _issues(path: Path, layers: ConfigLayers, backend: str | None) -> list[str]:
    """Return what is wrong in a file for one engine (None: the one it would run on), or why that cannot train it."""
    from mlcli.config.experiment import resolved_experiment
    from mlcli.experiment.plan import make_plan, model_issues

    try:
        config = resolved_experiment(layers, flags={"backend": backend}, check=model_issues)
        make_plan(config)
    except ConfigError as error:
        return list(error.issues)
    except UsageError as error:
        return [f"{escaped(str(path))}: backend {config.backend}: {'; '.join(str(error).splitlines())}"]
    return []


def list_configurations(output_format: str) -> None:
    """Print the shipped configurations to stdout, with what each is."""
    from mlcli.rendering.console import checked_format
    from mlcli.rendering.tables import print_rows

    rows = [{"name": name, "description": description(path)} for name, path in shipped_configs().items()]
    print_rows("Shipped configurations", rows, checked_format(output_format))


def copy_configuration(name: str, target: Path | None, *, force: bool) -> Path:
    """Write a shipped configuration to a file, NAME.yaml in the working directory if None, and return its path.

    UsageError for an unknown name, and for a file that exists unless `force` is set.
    """
    from mlcli.files import refuse_existing, write_whole

    source = shipped_config(name)
    path = target or Path(source.name)
    refuse_existing(path, force=force)
    write_whole(path, content_elsewhere(source).encode("utf-8"))
    return path


def configuration_schema() -> str:
    """Return the JSON Schema of configuration files as text."""
    from mlcli.config.dump import json_schema

    return to_json(json_schema())
