"""One experiment from everything that has a say in it.

Defaults < YAML (`extends:` composes) < the chosen engine's entry under `backends:` < `MLCLI_*` environment < flags
and `--set`. Each layer lies over the one before as `merging` describes. A value that another one hides is not judged,
but the entries of the other engines are, so that a slip in one shows before anybody runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

from mlcli.config.command_line import command_line_layer
from mlcli.config.merging import merged, read_composed
from mlcli.config.messages import ConfigIssue, SourceLocation, config_error, key_path, shown
from mlcli.config.nodes import Entry, Node, in_section, with_entry, without
from mlcli.config.overrides import environment_layer
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import validated
from mlcli.errors import unknown_name
from mlcli.registry import BACKENDS, DEFAULT_BACKEND

_NOT_BY_BACKEND = ("backend", "backends", "extends")


def load_experiment(
    path: Path | None,
    *,
    flags: Mapping[str, object] | None = None,
    settings: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> ExperimentConfig:
    """The experiment of a file, the environment and the command line, resolved for one engine.

    path: the YAML file; None for the defaults.
    flags: dotted key to value, e.g. {"optimizer.lr": 0.01}; None values are skipped.
    settings: `key.path=value` texts, as after `--set`; they win over flags.
    environ: os.environ where None.

    The engine is the one that flags or settings name, else MLCLI_BACKEND, else `backend` in the file, else the first
    of its `backends`, else torch. The result names it in `backend`, and its `backends` is empty: written out, it
    stands alone. ConfigError with every issue at once, each `place: key.path: message`.
    """
    written, issues = read_composed(path) if path is not None else (Node({}, SourceLocation("defaults")), [])
    environment, more = environment_layer(environ)
    issues += more
    command_line, more = command_line_layer(flags or {}, settings)
    issues += more
    if written is None:
        raise config_error(issues)
    config, more = _resolved(written, environment, command_line)
    if config is None or issues:
        unread = {issue.place for issue in issues}  # nothing more can be said of a value that was not understood
        raise config_error([*issues, *(issue for issue in more if issue.place not in unread)])
    return config


def named_backends(path: Path) -> tuple[str, ...]:
    """The engines that a file is for, in its own order: those under `backends`, or the one that would run."""
    written, issues = read_composed(path)
    if written is None or issues:
        raise config_error(issues)
    return tuple(_entries(written)) or (_chosen(written),)


def _resolved(
    written: Node, environment: Node, command_line: Node
) -> tuple[ExperimentConfig | None, list[ConfigIssue]]:
    whole = merged(merged(written, environment), command_line)
    backend, entries = _chosen(whole), _entries(whole)
    issues = _faults_of_backends(whole)
    layers = [without(layer, "backends") for layer in (written, environment, command_line)]
    for other, entry in entries.items():
        issues += _faults_of_entry(layers[0], other, entry) if other != backend else []
    if backend in entries:
        layers.insert(1, entries[backend])
    config, more = validated(_with_backend(reduce(merged, layers), backend), backend)
    return None if issues else config, issues + more


def _faults_of_entry(written: Node, backend: str, entry: Node) -> list[ConfigIssue]:
    """What is wrong in the entry itself; the settings it lies over are judged where they are used."""
    issues = validated(merged(written, entry), backend)[1]
    return [issue for issue in issues if issue.path.startswith(f"backends.{backend}.")]


def _with_backend(experiment: Node, backend: str) -> Node:
    """The experiment with its engine filled in; one that is stated, wrongly perhaps, stays for the schema to judge."""
    stated = experiment.get("backend")
    if stated is not None and stated.content is not None:
        return experiment
    place = stated.place if stated else experiment.place
    return with_entry(experiment, "backend", Entry(place, Node(backend, place)))


def _chosen(whole: Node) -> str:
    stated = whole.get("backend")
    named = [name for name in BACKENDS if stated and name == stated.content]
    return [*named, *_entries(whole), DEFAULT_BACKEND][0]


def _entries(whole: Node) -> dict[str, Node]:
    """What is said under `backends` of each engine that exists, in order, marked as written there."""
    backends = whole.get("backends")
    return {
        name: in_section(without(entry.node, *_NOT_BY_BACKEND), f"backends.{name}")
        for key, entry in (backends.entries if backends else {}).items()
        for name in BACKENDS
        if name == key and isinstance(entry.node.content, dict)
    }


def _faults_of_backends(whole: Node) -> list[ConfigIssue]:
    """What the schema does not see: engines that do not exist, and keys that an engine cannot have of its own."""
    backends = whole.get("backends")
    if backends is None:
        return []
    if not isinstance(backends.content, dict):
        message = f"must be a mapping from engines to the settings that differ there, got {shown(backends.content)}"
        return [ConfigIssue(backends.place, "backends", message)]
    issues = []
    for key, entry in backends.content.items():
        path = key_path(("backends", key))
        if key not in BACKENDS:
            issues.append(ConfigIssue(entry.place, path, unknown_name("backend", str(key)[:60], list(BACKENDS))))
        elif not isinstance(entry.node.content, dict):
            issues.append(
                ConfigIssue(entry.node.place, path, f"must be a mapping of settings, got {shown(entry.node.content)}")
            )
        for forbidden in _NOT_BY_BACKEND:
            if forbidden in entry.node.entries:
                place = entry.node.entries[forbidden].place
                issues.append(
                    ConfigIssue(place, f"{path}.{forbidden}", "cannot differ by engine; it belongs at the top level")
                )
    return issues
