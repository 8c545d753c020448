"""Settings from `MLCLI_*` environment variables.

MLCLI_BACKEND, MLCLI_SEED and every other top-level key by its name; MLCLI_DEVICE and MLCLI_THREADS for
runtime.device and runtime.threads; keys below by two underscores for a dot, MLCLI_OPTIMIZER__LR=0.01. Values are
read as YAML. An empty variable counts as unset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlcli.config.merging import normalised, overlaid
from mlcli.config.messages import ConfigIssue, SourceLocation
from mlcli.config.nodes import Key, Node, nested
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import sections_of
from mlcli.config.yaml_reader import parse_value
from mlcli.errors import nearest_match
from mlcli.text import escaped

PREFIX = "MLCLI_"
_MAX_SHOWN_CHARACTERS = 80
SHORT_NAMES = {"MLCLI_DEVICE": ("runtime", "device"), "MLCLI_THREADS": ("runtime", "threads")}
# Read elsewhere; they say nothing about the experiment.
OTHER_VARIABLES = frozenset({"MLCLI_DATA_DIR", "MLCLI_OFFLINE", "MLCLI_RUNS_DIR", "MLCLI_DEBUG"})


def environment_layer(environ: Mapping[str, str] | None = None) -> tuple[Node, list[ConfigIssue]]:
    """The settings in the environment (os.environ where None), and the issues in them."""
    environ = os.environ if environ is None else environ
    layer = Node({}, SourceLocation("environment"))
    issues: list[ConfigIssue] = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES and environ[variable].strip():
            node, found = _setting(variable, environ[variable])
            issues += found
            layer = overlaid(layer, normalised(node)) if node else layer
    return layer, issues


def _setting(variable: str, text: str) -> tuple[Node | None, list[ConfigIssue]]:
    place = SourceLocation(escaped(variable, _MAX_SHOWN_CHARACTERS))
    path = SHORT_NAMES.get(variable) or _path(variable)
    if path[0] not in ExperimentConfig.model_fields:
        return None, [ConfigIssue(place, "", f"unknown variable{_did_you_mean(variable)}")]
    node, issues = parse_value(text, place)
    return nested(path, node) if node else None, issues


def _path(variable: str) -> tuple[Key, ...]:
    """MODEL__HIDDEN as ("model", "hidden"); the arguments of an estimator keep their case."""
    parts = variable.removeprefix(PREFIX).split("__")
    lower = [part.lower() for part in parts]
    return (*lower[:2], *parts[2:]) if lower[:2] == ["model", "parameters"] else tuple(lower)


def _did_you_mean(variable: str) -> str:
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
