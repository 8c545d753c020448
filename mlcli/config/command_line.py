"""Settings from the command line: flags, and `--set key.path=value`, which wins over flags.

Together they are one layer: what was said in one command holds at once, so that `--lr 0.1 --set optimizer=sgd` is
sgd with that learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcli.config.merging import normalised, overlaid
from mlcli.config.messages import ConfigIssue, SourceLocation, shown
from mlcli.config.nodes import Node, from_plain, nested
from mlcli.config.yaml_reader import parse_value
from mlcli.text import escaped

_MAX_KEYS = 16
_MAX_SHOWN_CHARACTERS = 80
# Flags that are not called like the last part of their key.
_FLAGS = {
    "dataset.name": "--dataset",
    "model.name": "--model",
    "optimizer.name": "--optimizer",
    "schedule.name": "--schedule",
    "init_from.run": "--init-from",
}


def command_line_layer(flags: Mapping[str, object], settings: Sequence[str]) -> tuple[Node, list[ConfigIssue]]:
    """The settings of one command, and the issues in them.

    flags: dotted key to value; None means that the flag was not given.
    settings: what followed each `--set`; of two for the same key the later wins.
    """
    layer = Node({}, SourceLocation("command line"))
    issues: list[ConfigIssue] = []
    for path, value in flags.items():
        if value is not None:
            node, found = _flag(path, value)
            layer = overlaid(layer, normalised(node))
            issues += found
    for text in settings:
        setting, found = _setting(text)
        layer = overlaid(layer, normalised(setting))
        issues += found
    return layer, issues


def _flag(path: str, value: object) -> tuple[Node, list[ConfigIssue]]:
    place = SourceLocation(_FLAGS.get(path) or f"--{path.rpartition('.')[2].replace('_', '-')}")
    try:
        return nested(path.split("."), from_plain(value, place)), []
    except ValueError as error:
        return Node({}, place), [ConfigIssue(place, path, f"{error}, got {shown(value)}")]


def _setting(text: str) -> tuple[Node, list[ConfigIssue]]:
    place = SourceLocation(f"--set {escaped(text, _MAX_SHOWN_CHARACTERS)}")
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys) or len(keys) > _MAX_KEYS:
        return Node({}, place), [ConfigIssue(place, "", "must be key.path=value, e.g. --set optimizer.lr=0.01")]
    if not value.strip():
        return Node({}, place), [ConfigIssue(place, "", "the value is missing (write null for none)")]
    node, issues = parse_value(value, place)
    return nested(keys, node) if node else Node({}, place), issues
