"""What `mlcli config` does: resolve a configuration, check files for every engine they name, print the JSON Schema.

Imports nothing heavy until a function is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlcli.errors import ConfigError, UsageError
from mlcli.text import escaped


@dataclass(frozen=True)
class ResolvedConfiguration:
    """A configuration for one engine as YAML, and why it cannot be trained (None: it can)."""

    yaml: str
    refusal: str | None


@dataclass(frozen=True)
class CheckedFile:
    """What was found in a configuration file: issues, one line each, and the engines it was checked for."""

    issues: tuple[str, ...]
    backends: tuple[str, ...]


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


def check_file(path: Path) -> CheckedFile:
    """Check a file for every engine that it names. The environment is ignored."""
    from mlcli.config.experiment import read_layers

    issues = _issues(path, None)
    try:
        backends = read_layers(path, {}).backends()
    except ConfigError as error:
        return CheckedFile(tuple(issues or error.issues), ())
    issues += [issue for backend in backends for issue in _issues(path, backend)]
    return CheckedFile(tuple(dict.fromkeys(issues)), backends)


def _issues(path: Path, backend: str | None) -> list[str]:
    """Return what is wrong in a file for one engine (None: the one it would run on), or why that cannot train it."""
    from mlcli.config.experiment import load_experiment
    from mlcli.experiment.plan import make_plan

    try:
        config = load_experiment(path, flags={"backend": backend}, environ={})
        make_plan(config)
    except ConfigError as error:
        return list(error.issues)
    except UsageError as error:
        return [f"{escaped(str(path))}: backend {config.backend}: {'; '.join(str(error).splitlines())}"]
    return []


def configuration_schema() -> str:
    """Return the JSON Schema of configuration files as text."""
    import json

    from mlcli.config.dump import json_schema

    return json.dumps(json_schema(), indent=2)
