"""`mlcli config`: show what a configuration resolves to, check files, print the JSON Schema for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.options import Backend, Commands, ConfigArgument, Settings
from mlcli.errors import ConfigError
from mlcli.experiment.configurations import check_file, configuration_schema, resolve_configuration
from mlcli.text import escaped, printable

app = Commands(help="Show, check and describe configurations.", no_args_is_help=True)


@app.command()
def show(config: ConfigArgument = None, backend: Backend = None, settings: Settings = None) -> None:
    """Print the configuration resolved for one engine, with every default, as YAML that can be run again."""
    resolved = resolve_configuration(config, backend, settings or [])
    typer.echo(resolved.yaml, nl=False)
    if resolved.refusal:
        typer.echo(f"note: this cannot be trained: {printable(resolved.refusal)}", err=True)


@app.command()
def validate(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="YAML files.", show_default=False)],
) -> None:
    """Check files for every engine they name, and report all issues of all files. The environment is ignored."""
    issues: list[str] = []
    for path in configs:
        try:
            typer.echo(f"{escaped(str(path))}: ok ({', '.join(check_file(path))})")
        except ConfigError as error:
            issues += error.issues
    if issues:
        raise ConfigError(issues)


@app.command()
def schema() -> None:
    """Print the JSON Schema of configuration files, for editors that complete and check YAML."""
    typer.echo(configuration_schema(), nl=False)
