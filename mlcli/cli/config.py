"""`mlcli config`: list and copy the shipped configurations; show, check and describe any configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.completion import completed, completed_configs
from mlcli.cli.options import CONFIG_REFERENCE, Backend, Commands, ConfigArgument, Force, Format, Settings, output
from mlcli.config.shipped import find_config, shipped_configs
from mlcli.errors import ConfigError
from mlcli.experiment.configurations import (
    check_file,
    configuration_schema,
    copy_configuration,
    list_configurations,
    resolve_configuration,
)
from mlcli.text import escaped, printable

app = Commands(help="List, copy, show, check and describe configurations.", no_args_is_help=True)


@app.command("list")
def list_(output_format: Format = "table") -> None:
    """List the shipped configurations. Every command that takes a YAML file also takes one of these names.

    Examples:
      mlcli config list
      mlcli config list --format json
    """
    list_configurations(output_format)


@app.command()
def copy(
    name: Annotated[
        str,
        typer.Argument(help="A shipped configuration.", metavar="NAME", autocompletion=completed(shipped_configs())),
    ],
    target: Annotated[
        Path | None, output("--output", "-o", help="The file to write. Default: NAME.yaml here.", metavar="FILE")
    ] = None,
    force: Force = False,
) -> None:
    """Write a shipped configuration to a file here, to be changed. The name then stands for this file.

    Examples:
      mlcli config copy digits_mlp
      mlcli config copy digits_mlp --output mine.yaml
    """
    typer.echo(f"wrote {escaped(str(copy_configuration(name, target, force=force)))}")


@app.command()
def show(config: ConfigArgument = None, backend: Backend = None, settings: Settings = None) -> None:
    """Print the configuration resolved for one engine, with every default, as YAML that can be run again.

    Examples:
      mlcli config show fashion_mlp --backend keras
      mlcli config show digits_mlp --set optimizer=sgd > mine.yaml
    """
    resolved = resolve_configuration(config, backend, settings or [])
    typer.echo(resolved.yaml, nl=False)
    if resolved.refusal:
        typer.echo(f"note: this cannot be trained: {printable(resolved.refusal)}", err=True)


@app.command()
def validate(
    configs: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG...",
            help=f"{CONFIG_REFERENCE}.",
            show_default=False,
            parser=find_config,
            autocompletion=completed_configs,
        ),
    ],
) -> None:
    """Check files for every engine they name, and report all issues of all files. The environment is ignored.

    Examples:
      mlcli config validate mine.yaml
      mlcli config validate digits_mlp mnist_mlp
    """
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
    """Print the JSON Schema of configuration files, for editors that complete and check YAML.

    Examples:
      mlcli config schema > experiment.schema.json
    """
    typer.echo(configuration_schema(), nl=False)
