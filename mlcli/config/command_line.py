"""Settings from the command line: flags, and `--set key.path=value`, which wins over flags.

Together they are one layer: what was said in one command holds at once, so that `--lr 0.1 --set optimizer=sgd` is
sgd with that learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcli.config.merging import normalised, overlaid
from mlcli.config.messages import Fault, Place, shown
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


def command_line_layer(flags: Mapping[str, object], settings: Sequence[str]) -> tuple[Node, list[Fault]]:
    """The settings of one command, and the faults in them.

    flags: dotted key to value; None means that the flag was not given.
    settings: what followed each `--set`; of two for the same key the later wins.
    """
    layer = Node({}, Place("command line"))
    faults: list[Fault] = []
    for path, value in flags.items():
        if value is not None:
            node, found = _flag(path, value)
            layer = overlaid(layer, normalised(node))
            faults += found
    for text in settings:
        setting, found = _setting(text)
        layer = overlaid(layer, normalised(setting))
        faults += found
    return layer, faults


def _flag(path: str, value: object) -> tuple[Node, list[Fault]]:
    place = Place(_FLAGS.get(path) or f"--{path.rpartition('.')[2].replace('_', '-')}")
    try:
        return nested(path.split("."), from_plain(value, place)), []
    except ValueError as error:
        return Node({}, place), [Fault(place, path, f"{error}, got {shown(value)}")]


def _setting(text: str) -> tuple[Node, list[Fault]]:
    place = Place(f"--set {escaped(text, _MAX_SHOWN_CHARACTERS)}")
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys) or len(keys) > _MAX_KEYS:
        return Node({}, place), [Fault(place, "", "must be key.path=value, e.g. --set optimizer.lr=0.01")]
    if not value.strip():
        return Node({}, place), [Fault(place, "", "the value is missing (write null for none)")]
    node, faults = parse_value(value, place)
    return nested(keys, node) if node else Node({}, place), faults
