"""`mlcli config`: show what a configuration resolves to, check files, print the JSON Schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.options import Commands, Settings

app = Commands(help="Show, check and describe configurations.", no_args_is_help=True)


@app.command()
def show(
    config: Annotated[Path | None, typer.Argument(help="A YAML file; without one, the defaults.")] = None,
    backend: Annotated[str | None, typer.Option("--backend", "-b", help="sklearn, torch or keras.")] = None,
    settings: Settings = None,
) -> None:
    """Print the configuration resolved for one engine, with every default, as YAML that can be run again."""
    from mlcli.config.dump import to_yaml
    from mlcli.config.experiment import load_experiment

    typer.echo(to_yaml(load_experiment(config, flags={"backend": backend}, settings=settings or [])), nl=False)


@app.command()
def validate(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files.", show_default=False)],
) -> None:
    """Check files for every engine they name, and report all faults of all files. The environment is not looked at."""
    from mlcli.errors import ConfigError

    faults: list[str] = []
    for path in configs:
        found, backends = _check(path)
        faults += found
        if not found:
            typer.echo(f"{_shown(path)}: ok ({', '.join(backends)})")
    if faults:
        raise ConfigError(faults)


@app.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors that complete and check YAML."""
    import json

    from mlcli.config.dump import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _check(path: Path) -> tuple[list[str], tuple[str, ...]]:
    """The faults of one file, and the engines it was checked for."""
    from mlcli.config.experiment import named_backends
    from mlcli.errors import ConfigError

    faults = _faults(path, None)
    try:
        backends = named_backends(path)
    except ConfigError as error:
        return faults or list(error.issues), ()
    faults += [fault for backend in backends for fault in _faults(path, backend)]
    return list(dict.fromkeys(faults)), backends


def _faults(path: Path, backend: str | None) -> list[str]:
    """What is wrong in a file as one engine reads it (None: the one it would run on), or why that cannot be run."""
    from mlcli.config.experiment import load_experiment
    from mlcli.errors import ConfigError, UsageError
    from mlcli.experiment.plan import make_plan

    try:
        config = load_experiment(path, flags={"backend": backend}, environ={})
        make_plan(config)
    except ConfigError as error:
        return list(error.issues)
    except UsageError as error:
        return [f"{_shown(path)}: backend {config.backend}: {'; '.join(str(error).splitlines())}"]
    return []


def _shown(path: Path) -> str:
    from mlcli.text import escaped

    return escaped(str(path))
