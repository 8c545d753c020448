"""What shells complete as the value of an option or argument.

Completion runs at every press of a key, so nothing heavy is imported: the keys of configurations are read from the
JSON Schema, and runs from the names of their directories.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from mlcli.config.shipped import SCHEMA_FILE, shipped_configs
from mlcli.runs import DEFAULT_RUNS_DIR

Completion = Callable[..., list[str]]  # called by typer with parameters named ctx and incomplete


def completed(names: Iterable[str]) -> Completion:
    """Return a completion of one of these names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def completed_list(names: Iterable[str]) -> Completion:
    """Return a completion of names separated by commas, each once."""

    def complete(incomplete: str) -> list[str]:
        *before, last = incomplete.split(",")
        offered = (name for name in names if name not in before)
        return [",".join([*before, name]) for name in offered if name.startswith(last)]

    return complete


def completed_configs(incomplete: str) -> list[str]:
    """Return the YAML files of a folder and the shipped configurations that begin with the text."""
    return [*_files(incomplete, (".yaml", ".yml")), *completed(shipped_configs())(incomplete)]


def completed_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `last` and the run ids that begin with the text, the newest first."""
    directory = ctx.params.get("runs_dir") or DEFAULT_RUNS_DIR
    try:
        names = sorted(os.listdir(directory), reverse=True)
    except OSError:
        names = []
    runs = (name for name in names if os.path.isfile(Path(directory, name, "config.yaml")))
    return [name for name in ("last", *runs) if name.startswith(incomplete)]


def completed_configs_and_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the configurations and the runs that begin with the text."""
    return [*completed_configs(incomplete), *completed_runs(ctx, incomplete)]


def completed_settings(incomplete: str) -> list[str]:
    """Return the keys of configurations, each with `=`; after the `=`, the values of a key that has a choice."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    choices = dict(_keys(schema, schema["$defs"], ""))
    key, equals, value = incomplete.partition("=")
    if equals:
        return [f"{key}={choice}" for choice in completed_list(choices.get(key, ()))(value)]
    return [f"{name}=" for name in choices if name.startswith(key)]


def _keys(section: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every dotted key below a section of the schema, with its choices; a section is chosen by its name."""
    for key, value in section["properties"].items():
        branches = [*_branches(value, definitions)]
        below = [branch for branch in branches if "properties" in branch]
        if not prefix and key in ("extends", "backends"):
            continue
        choices = [choice for branch in branches for choice in _choices(branch)]
        if choices or not below:
            yield prefix + key, choices
        for branch in below:
            yield from _keys(branch, definitions, f"{prefix}{key}.")


def _choices(branch: Mapping[str, Any]) -> list[str]:
    """Return the values of a property, or the names of a section, if only these are accepted."""
    named = branch.get("properties", {}).get("name", branch)
    return list(named.get("enum", [named["const"]] if "const" in named else []))


def _branches(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the alternatives of a property, with references resolved."""
    if "$ref" in value:
        value = definitions[value["$ref"].rpartition("/")[2]]
    if "anyOf" in value:
        for branch in value["anyOf"]:
            yield from _branches(branch, definitions)
    else:
        yield value


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the files with these suffixes, and the folders, that begin with the text."""
    folder, start = os.path.split(incomplete)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    shown = [entry for entry in entries if entry.name.startswith(start) and (start or not entry.name.startswith("."))]
    names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in shown]
    return [os.path.join(folder, name) for name in names if name.endswith(("/", *suffixes))]
