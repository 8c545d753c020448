"""Settings from `MLCLI_*` environment variables, and from the command line: flags and `--set key.path=value`.

MLCLI_BACKEND, MLCLI_SEED and every other top-level key by its name; MLCLI_DEVICE and MLCLI_THREADS for
runtime.device and runtime.threads; keys below with two underscores for a dot, MLCLI_OPTIMIZER__LR=0.01. Values are
read as YAML. An empty variable counts as unset.

The command line is one layer: `--lr 0.1 --set optimizer=sgd` is sgd with that learning rate, in either order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcli.config.layers import Layer, one_setting, overlaid
from mlcli.config.messages import ConfigIssue, SourceLocation, UnreadableError, shown
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import sections_of
from mlcli.config.values import checked_number, checked_text
from mlcli.config.yaml_reader import parse_value
from mlcli.errors import nearest_match
from mlcli.text import escaped

PREFIX = "MLCLI_"
SHORT_NAMES = {"MLCLI_DEVICE": ("runtime", "device"), "MLCLI_THREADS": ("runtime", "threads")}
OTHER_VARIABLES = frozenset({"MLCLI_DATA_DIR", "MLCLI_OFFLINE", "MLCLI_RUNS_DIR", "MLCLI_DEBUG"})  # not settings
_MAX_KEYS = 16
_MAX_SHOWN_CHARACTERS = 80


def environment_layer(environ: Mapping[str, str], issues: list[ConfigIssue]) -> Layer:
    """Return the settings in environment variables; problems go to `issues`."""
    layer = Layer()
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES and environ[variable].strip():
            path = SHORT_NAMES.get(variable) or _path(variable)
            location = SourceLocation(escaped(variable, _MAX_SHOWN_CHARACTERS), key=".".join(path))
            if path[0] in ExperimentConfig.model_fields:
                layer = overlaid(layer, _read_setting(path, environ[variable], location, issues))
            else:
                issues.append(ConfigIssue(location, "", f"unknown variable{_similar_variable(variable)}"))
    return layer


def command_line_layer(flags: Mapping[str, object], settings: Sequence[str], issues: list[ConfigIssue]) -> Layer:
    """Return the settings of one command; problems go to `issues`.

    flags: dotted key to value; None means that the flag was not given.
    settings: what followed each `--set`; they win over flags, and of two for the same key the later wins.
    """
    layer = Layer()
    for path, value in flags.items():
        if value is not None:
            layer = overlaid(layer, _flag(path, value, issues))
    for text in settings:
        layer = overlaid(layer, _set_option(text, issues))
    return layer


def _flag(path: str, value: object, issues: list[ConfigIssue]) -> Layer:
    named = path.removesuffix(".name").removesuffix(".run")  # --optimizer is optimizer.name, --lr is optimizer.lr
    location = SourceLocation(f"--{named.rpartition('.')[2].replace('_', '-')}", key=path)
    try:
        if isinstance(value, str):
            checked_text(value)
        elif isinstance(value, int | float):
            checked_number(value)
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


def _path(variable: str) -> tuple[str, ...]:
    """Return ("model", "hidden") for MLCLI_MODEL__HIDDEN; the parameters of an estimator keep their case."""
    parts = variable.removeprefix(PREFIX).split("__")
    lower = [part.lower() for part in parts]
    return (*lower[:2], *parts[2:]) if lower[:2] == ["model", "parameters"] else tuple(lower)


def _similar_variable(variable: str) -> str:
    word = variable.removeprefix(PREFIX)
    known = [name.removeprefix(PREFIX) for name in _known_variables()]
    guess = next((name for name in known if name.endswith(f"__{word}")), None) or nearest_match(word[:60], known)
    return f" (did you mean '{PREFIX}{guess}'?)" if guess else ""


def _known_variables() -> list[str]:
    names = [*SHORT_NAMES, *OTHER_VARIABLES]
    for key in ExperimentConfig.model_fields:
        names.append(f"{PREFIX}{key.upper()}")
        for section in sections_of(ExperimentConfig, key):
            names += [f"{PREFIX}{key.upper()}__{below.upper()}" for below in section.model_fields]
    return names
