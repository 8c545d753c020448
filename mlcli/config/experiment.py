"""One experiment from all its sources.

Defaults < YAML (`extends:` composes) < the chosen engine's entry under `backends:` < `MLCLI_*` environment < flags
and `--set`. `layers` says how each merges over the one before. Only the values that remain are validated, but also
the entries of the other engines, so that a mistake in one shows before anybody runs it.

Environment: every top-level key by its name (MLCLI_BACKEND, MLCLI_SEED), MLCLI_DEVICE and MLCLI_THREADS for
runtime.device and runtime.threads, keys below with two underscores for a dot (MLCLI_OPTIMIZER__LR=0.01). Values are
read as YAML. An empty variable counts as unset.

The command line is one layer: `--lr 0.1 --set optimizer=sgd` is sgd with that learning rate, in either order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from mlcli.config.layers import FILES, KeyPath, Layer, merged, one_setting, overlaid
from mlcli.config.messages import ConfigIssue, SourceLocation, UnreadableError, config_error, shown
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import NOT_BY_BACKEND, issues_of_backends, sections_of, validated
from mlcli.config.values import checked
from mlcli.config.yaml_reader import ValueCount, parse_layer, parse_value, read_layer
from mlcli.errors import nearest_match
from mlcli.registry import BACKENDS, DEFAULT_BACKEND
from mlcli.text import escaped

MAX_FILES = 32
MAX_CHAIN = 8
PREFIX = "MLCLI_"
SHORT_NAMES = {"MLCLI_DEVICE": ("runtime", "device"), "MLCLI_THREADS": ("runtime", "threads")}
# Variables that are not settings.
OTHER_VARIABLES = frozenset({"MLCLI_DATA_DIR", "MLCLI_OFFLINE", "MLCLI_RUNS_DIR", "MLCLI_DEBUG", "MLCLI_SESSION"})
Check = Callable[[ExperimentConfig], Iterable[tuple[KeyPath, str, bool]]]
_MAX_KEYS = 16
_MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class ConfigLayers:
    """The layers below the command line, read once: a YAML file with the files that it extends, and the environment."""

    written: Layer | None  # None if a file could not be read
    environment: Layer
    issues: tuple[ConfigIssue, ...]

    def backends(self) -> tuple[str, ...]:
        """Return the engines that the file is for, in its order: those under `backends`, or the one that would run.

        The environment is not considered. ConfigError if there are issues.
        """
        if self.written is None or self.issues:
            raise config_error(list(self.issues))
        return tuple(_entries(self.written)) or (_chosen(self.written),)


def read_layers(path: Path | None, environ: Mapping[str, str] | None = None) -> ConfigLayers:
    """Read a YAML file, None for the defaults, and the environment, os.environ if None."""
    issues: list[ConfigIssue] = []
    written: Layer | None = None
    try:
        written = Layer() if path is None else _Composition(issues).read(path)
    except UnreadableError as error:
        issues.append(error.issue)
    environment = _environment_layer(os.environ if environ is None else environ, issues)
    return ConfigLayers(written, environment, tuple(issues))


def load_experiment(
    path: Path | None,
    *,
    flags: Mapping[str, object] | None = None,
    settings: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    check: Check | None = None,
) -> ExperimentConfig:
    """Read and resolve the experiment of a file, the environment and the command line.

    See read_layers for path and environ, and resolved_experiment for the rest.
    """
    return resolved_experiment(read_layers(path, environ), flags=flags, settings=settings, check=check)


def resolved_experiment(
    layers: ConfigLayers,
    *,
    flags: Mapping[str, object] | None = None,
    settings: Sequence[str] = (),
    check: Check | None = None,
) -> ExperimentConfig:
    """Return the experiment of these layers and the command line, resolved for one engine.

    flags: dotted key to value, e.g. {"optimizer.lr": 0.01}; None values are skipped.
    settings: `key.path=value` texts, as after `--set`; they win over flags, and later ones over earlier ones.
    check: what the schema does not know; of each issue in a valid configuration it returns the path, the message, and
    whether the key is wrong rather than its value.

    The engine is the one that flags or settings name, else MLCLI_BACKEND, else `backend` in the file, else the first
    of its `backends`, else the default. The result names it in `backend`, and its `backends` is empty. ConfigError
    with every issue at once, each `location: key.path: message`.
    """
    issues = list(layers.issues)
    command_line = _command_line_layer(flags or {}, settings, issues)
    if layers.written is None:
        raise config_error(issues)
    sources = (layers.written, layers.environment, command_line)
    unread = {issue.location for issue in issues}  # a value that was not understood cannot be validated
    whole = reduce(merged, sources)
    backend, entries = _chosen(whole), _entries(whole)
    found = issues_of_backends(whole)
    written, *overrides = (layer.without("backends") for layer in sources)
    for other, entry in entries.items():
        if other != backend:
            in_entry = validated(merged(written, entry), other)[1]
            found += [issue for issue in in_entry if issue.path.startswith(f"backends.{other}.")]
    root = reduce(merged, (written, entries.get(backend, Layer()), *overrides))
    if root.values.get("backend") is None:
        root.values["backend"] = backend
    config, more = validated(root, backend)
    issues += [issue for issue in [*found, *more] if issue.location not in unread]
    if config is not None and check is not None and not issues:
        issues = [root.issue(path, message, of_key=of_key) for path, message, of_key in check(config)]
    if config is None or issues:
        raise config_error(issues)
    return config


def parse_experiment(content: bytes, source: str) -> ExperimentConfig:
    """Return the experiment in the content of a self-contained file: it extends no other, and nothing overrides it.

    source: the name of the file in messages. ConfigError with every issue at once.
    """
    issues: list[ConfigIssue] = []
    written: Layer | None = None
    try:
        written = parse_layer(content, source, issues)
    except UnreadableError as error:
        issues.append(error.issue)
    return resolved_experiment(ConfigLayers(written, Layer(), tuple(issues)))


class _Composition:
    """The files of one configuration. Each is read once, so that a diamond costs no more than a chain."""

    def __init__(self, issues: list[ConfigIssue]) -> None:
        self._issues = issues
        self._read: dict[str, Layer] = {}  # by real path
        self._count = ValueCount()

    def read(self, path: Path, chain: tuple[str, ...] = ()) -> Layer:
        """Return the settings of a file merged over those of the files that it extends; UnreadableError."""
        layer = _with_paths_from(path.parent, read_layer(path, self._issues, self._count))
        chain = (*chain, os.path.realpath(path))
        below = Layer()
        if "extends" in layer.values:
            named = layer.values["extends"]
            for index, name in enumerate(named if isinstance(named, list) else [named]):
                location = layer.find(("extends", index) if isinstance(named, list) else ("extends",))[0].value
                below = merged(below, self._extended(name, location, path, chain))
        return merged(below, layer.without("extends"))

    def _extended(self, name: object, location: SourceLocation, path: Path, chain: tuple[str, ...]) -> Layer:
        if not isinstance(name, str) or not name or "\0" in name:
            message = f"must be the path of a file, or a list of paths, got {shown(name)}"
            raise UnreadableError(location, message, "extends")
        if os.path.isabs(name):
            raise UnreadableError(location, f"must be relative to this file, got {shown(name)}", "extends")
        base = path.parent / name
        if not os.path.isfile(base):  # first, because any other answer takes long for a name of a megabyte
            raise UnreadableError(location, f"no such file: {shown(str(base))}", "extends")
        resolved = os.path.realpath(base)
        if resolved in chain:
            files = [escaped(os.path.basename(file)) for file in (*chain[chain.index(resolved) :], resolved)]
            raise UnreadableError(location, f"files extend one another in a circle: {' -> '.join(files)}", "extends")
        if resolved in self._read:
            self._count.add(len(self._read[resolved].written), location, "extends")
        elif len(chain) >= MAX_CHAIN or len(self._read) >= MAX_FILES:
            raise UnreadableError(location, f"more than {MAX_CHAIN} files in a chain, or {MAX_FILES} in all", "extends")
        else:
            self._read[resolved] = self.read(base, chain)
        return self._read[resolved]


def _with_paths_from(folder: Path, layer: Layer) -> Layer:
    """Return the settings of a file in a folder with the paths in them relative to the working directory."""
    backends = layer.values.get("backends")
    entries = backends.values() if isinstance(backends, dict) else ()
    for values in (layer.values, *entries):
        dataset = values.get("dataset") if isinstance(values, dict) else None
        if isinstance(dataset, dict):
            named = {key: dataset[key] for key in FILES if isinstance(dataset.get(key), str) and dataset[key]}
            dataset.update({key: str(Path(folder, path)) for key, path in named.items()})
    return layer


def _environment_layer(environ: Mapping[str, str], issues: list[ConfigIssue]) -> Layer:
    """Return the settings in environment variables; problems go to `issues`."""
    layer = Layer()
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES and environ[variable].strip():
            path = SHORT_NAMES.get(variable) or _variable_path(variable)
            location = SourceLocation(escaped(variable, _MAX_SHOWN_CHARACTERS), key=".".join(path))
            if path[0] in ExperimentConfig.model_fields:
                layer = overlaid(layer, _read_setting(path, environ[variable], location, issues))
            else:
                issues.append(ConfigIssue(location, "", f"unknown variable{_similar_variable(variable)}"))
    return layer


def _command_line_layer(flags: Mapping[str, object], settings: Sequence[str], issues: list[ConfigIssue]) -> Layer:
    """Return the settings of one command; problems go to `issues`."""
    given = [_flag(path, value, issues) for path, value in flags.items() if value is not None]
    return reduce(overlaid, [*given, *(_set_option(text, issues) for text in settings)], Layer())


def _flag(path: str, value: object, issues: list[ConfigIssue]) -> Layer:
    named = path.removesuffix(".name").removesuffix(".run")  # --optimizer is optimizer.name, --lr is optimizer.lr
    option = named.rpartition(".")[2].replace("_", "-")
    if path.startswith("dataset."):  # --data is dataset.path, --test-data is dataset.test_path
        option = re.sub(r"path\Z", "data", option)
    location = SourceLocation(f"--{option}", key=path)
    try:
        checked(value)
    except ValueError as error:
        issues.append(ConfigIssue(location, path, f"{error}, got {shown(value)}"))
        return Layer()
    return one_setting(path.split("."), value, location)


def _set_option(text: str, issues: list[ConfigIssue]) -> Layer:
    name, equals, value = text.partition("=")
    path = [key.strip() for key in name.split(".")]
    location = SourceLocation(f"--set {escaped(text, _MAX_SHOWN_CHARACTERS)}", key=".".join(path))
    if not equals or not all(path) or len(path) > _MAX_KEYS:
        issues.append(ConfigIssue(location, "", "must be key.path=value, e.g. --set optimizer.lr=0.01"))
    elif not value.strip():
        issues.append(ConfigIssue(location, "", "the value is missing (write null for none)"))
    else:
        return _read_setting(path, value, location, issues)
    return Layer()


def _read_setting(path: Sequence[str], text: str, location: SourceLocation, issues: list[ConfigIssue]) -> Layer:
    try:
        return one_setting(path, parse_value(text, location, issues), location)
    except UnreadableError as error:
        issues.append(error.issue)
        return Layer()


def _variable_path(variable: str) -> tuple[str, ...]:
    """Return ("model", "hidden") for MLCLI_MODEL__HIDDEN; the parameters of an estimator keep their case."""
    parts = variable.removeprefix(PREFIX).split("__")
    lower = [part.lower() for part in parts]
    return (*lower[:2], *parts[2:]) if lower[:2] == ["model", "parameters"] else tuple(lower)


def _similar_variable(variable: str) -> str:
    word = variable.removeprefix(PREFIX)
    known = [name.removeprefix(PREFIX) for name in (*SHORT_NAMES, *OTHER_VARIABLES)]
    for key in ExperimentConfig.model_fields:
        below = [name for section in sections_of(ExperimentConfig, key) for name in section.model_fields]
        known += [key.upper(), *(f"{key}__{name}".upper() for name in below)]
    guess = next((name for name in known if name.endswith(f"__{word}")), None) or nearest_match(word[:60], known)
    return f" (did you mean '{PREFIX}{guess}'?)" if guess else ""


def _chosen(whole: Layer) -> str:
    stated = whole.values.get("backend")
    if isinstance(stated, str) and stated in BACKENDS:
        return stated
    return next(iter(_entries(whole)), DEFAULT_BACKEND)


def _entries(whole: Layer) -> dict[str, Layer]:
    """Return the settings under `backends` of every engine that exists, in order, without misplaced keys."""
    backends = whole.values.get("backends")
    return {
        name: whole.entry(name).without(*NOT_BY_BACKEND)
        for name, values in (backends.items() if isinstance(backends, dict) else ())
        if name in BACKENDS and isinstance(values, dict)
    }
