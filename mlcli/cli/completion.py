"""What shells complete as the value of an option or argument.

Completion runs at every press of a key, so nothing heavy is imported: the keys of configurations are read from the
JSON Schema, and runs from the names of their directories.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from mlcli.config.shipped import SCHEMA_FILE, shipped_configs
from mlcli.runs import DEFAULT_RUNS_DIR
from mlcli.runs.names import short_id

_SETTING = "_MLCLI_SETTING"  # the key of --set whose value bash completes

Completion = Callable[..., list[str]]  # called by typer with parameters named ctx and incomplete


def join_bash_words(environ: MutableMapping[str, str]) -> None:
    """Undo that bash splits the command line at each `=`; of the last word it replaces only what follows an `=`.

    environ: COMP_WORDS has one word per line, and COMP_CWORD is the index of the word to complete.
    """
    if environ.get("_MLCLI_COMPLETE") != "complete_bash":
        return
    words = environ["COMP_WORDS"].split("\n")[: int(environ["COMP_CWORD"]) + 1]
    joined: list[str] = []
    for before, word in pairwise(["", *words]):
        if joined and "=" in (before, word):
            joined[-1] += word
        else:
            joined.append(word)
    if "=" in words[-2:]:
        *start, value = joined.pop().split("=")
        joined += [word for word in start if word.startswith("--")]
        joined.append(value)
        environ[_SETTING] = "".join(word for word in start if not word.startswith("--"))
    if len(joined) < len(words):
        environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)


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
    """Return `last` and the run ids that begin with the text, the newest first, or the short ids that do."""
    return _run_names(ctx, incomplete, "config.yaml")


def completed_unfinished_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the same, of runs that still have checkpoints."""
    return _run_names(ctx, incomplete, "checkpoint")


def _run_names(ctx: typer.Context, incomplete: str, content: str) -> list[str]:
    """Return what names a run with this file or folder and begins with the text."""
    directory = ctx.params.get("runs_dir") or DEFAULT_RUNS_DIR
    try:
        names = sorted(os.listdir(directory), reverse=True)
    except OSError:
        names = []
    runs = [name for name in names if os.path.exists(Path(directory, name, content))]
    found = [name for name in ("last", *runs) if name.startswith(incomplete)]
    return found or [short for short in map(short_id, runs) if short and short.startswith(incomplete)]


def completed_configs_and_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the configurations and the runs that begin with the text."""
    return [*completed_configs(incomplete), *completed_runs(ctx, incomplete)]


def completed_settings(incomplete: str) -> list[str]:
    """Return the keys of configurations, each with `=`; after the `=`, the values of a key that has a choice."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    choices: dict[str, list[str]] = {}
    for name, values in _keys(schema, schema["$defs"], ""):
        choices[name] = list(dict.fromkeys([*choices.get(name, ()), *values]))
    if setting := os.environ.get(_SETTING):
        return completed_list(choices.get(setting, ()))(incomplete)
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
