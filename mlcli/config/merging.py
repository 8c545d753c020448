"""How one layer of settings lies over another.

Mappings merge key by key. A `model`, `optimizer` or `schedule` that states another name than the one below
replaces it whole, because the settings of one optimizer mean nothing to another; an estimator of another class
drops the parameters of the one below, and an `init_from` of another run its digest. A `dataset` of another name keeps
the other keys: splits, scaling and limit mean the same for all data. Everything else is replaced by the upper layer.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from mlcli.config.messages import ConfigIssue, UnreadableError, shown
from mlcli.config.nodes import Entry, Key, Node, n_values, with_entry, without
from mlcli.config.yaml_reader import TOO_MANY_VALUES, ValueCount, read_yaml
from mlcli.registry import DEFAULT_MODEL, DEFAULT_SCHEDULE
from mlcli.text import escaped

_NAMED_SECTIONS = ("dataset", "model", "optimizer", "schedule")  # a plain text stands for {name: text}
_REPLACED_BY_NAME = ("model", "optimizer", "schedule")
_DEFAULT_NAMES = {"model": DEFAULT_MODEL, "schedule": DEFAULT_SCHEDULE}


def merged(lower: Node, upper: Node) -> Node:
    """One whole configuration laid over another, by the rules above; the entries of `backends` one by one."""
    return overlaid(_what_stays(lower, upper), upper)


def overlaid(lower: Node, upper: Node) -> Node:
    """`upper` over `lower`, mappings key by key, without regard to names."""
    if not isinstance(lower.content, dict) or not isinstance(upper.content, dict):
        return upper
    entries = dict(lower.content)
    for key, entry in upper.content.items():
        below = entries.get(key)
        entries[key] = Entry(entry.place, overlaid(below.node, entry.node)) if below else entry
    return replace(upper, content=entries)


def _what_stays(lower: Node, upper: Node) -> Node:
    """The lower configuration without what the names in the upper one displace."""
    for section in _REPLACED_BY_NAME:
        lower = _without_other_name(lower, upper, section)
    lower = _without_other_parameters(lower, upper)
    lower = _without_other_start(lower, upper)
    below, above = lower.get("backends"), upper.get("backends")
    if below is None or above is None:
        return lower
    for backend in below.entries.keys() & above.entries.keys():
        below = _with_node(below, backend, _what_stays(below.entries[backend].node, above.entries[backend].node))
    return _with_node(lower, "backends", below)


def _without_other_name(lower: Node, upper: Node, section: str) -> Node:
    below, above = lower.get(section), upper.get(section, "name")
    if below is None or above is None:
        return lower
    stated = below.get("name")
    name = stated.content if stated else _DEFAULT_NAMES.get(section, above.content)
    return lower if name == above.content else without(lower, section)


def _without_other_parameters(lower: Node, upper: Node) -> Node:
    below, above = lower.get("model", "estimator"), upper.get("model", "estimator")
    if below is None or above is None or below.content == above.content:
        return lower
    return _with_node(lower, "model", without(lower.entries["model"].node, "parameters"))


def _without_other_start(lower: Node, upper: Node) -> Node:
    below, above = lower.get("init_from", "run"), upper.get("init_from", "run")
    if below is None or above is None or below.content == above.content:
        return lower
    return without(lower, "init_from")


def _with_node(parent: Node, key: Key, node: Node) -> Node:
    """A copy of a mapping with another node under a key that it has."""
    return with_entry(parent, key, Entry(parent.entries[key].place, node))


def normalised(layer: Node) -> Node:
    """Shorthands written out: `dataset: fashion` as {name: fashion}, an empty entry of `backends` as a mapping."""
    layer = _with_names(layer)
    backends = layer.get("backends")
    if backends is None:
        return layer
    for backend, entry in backends.entries.items():
        node = replace(entry.node, content={}) if entry.node.content is None else _with_names(entry.node)
        backends = _with_node(backends, backend, node)
    return _with_node(layer, "backends", backends)


def _with_names(layer: Node) -> Node:
    for section in _NAMED_SECTIONS:
        node = layer.get(section)
        if node and isinstance(node.content, str):
            named = replace(node, content={"name": Entry(node.place, node)})
            layer = _with_node(layer, section, named)
    return layer


MAX_FILES = 32
MAX_CHAIN = 8


def read_composed(path: Path) -> tuple[Node | None, list[ConfigIssue]]:
    """The settings of a file over those of the files it extends, and every issue met in reading them.

    None where one of the files cannot be read, or they extend one another in a circle.
    """
    composition = _Composition()
    try:
        return composition.read(path, chain=()), composition.issues
    except UnreadableError as error:
        return None, [*composition.issues, *error.issues]


class _Composition:
    """The files of one configuration. Each is read once, so that a diamond costs no more than a chain."""

    def __init__(self) -> None:
        self.issues: list[ConfigIssue] = []
        self._read: dict[Path, Node] = {}
        self._count = ValueCount()

    def read(self, path: Path, chain: tuple[Path, ...]) -> Node:
        node, issues = read_yaml(path, self._count)
        self.issues += issues
        chain = (*chain, _resolved(path))
        composed = Node({}, node.place)
        for named in self._named_files(node):
            composed = merged(composed, self._base(named, path, chain))
        return merged(composed, normalised(without(node, "extends")))

    def _named_files(self, node: Node) -> list[Node]:
        extends = node.get("extends")
        if extends is None:
            return []
        named = list(extends.content) if isinstance(extends.content, tuple) else [extends]
        for item in named:
            if not isinstance(item.content, str) or not item.content or "\0" in item.content:
                self._stop(item, f"must be the path of a file, or a list of paths, got {shown(item.content)}")
            if Path(item.content).is_absolute():
                self._stop(item, f"must be relative to this file, got {shown(item.content)}")
        return named

    def _base(self, named: Node, path: Path, chain: tuple[Path, ...]) -> Node:
        base = path.parent / str(named.content)
        if not os.path.isfile(base):  # first, because no other answer is quick for a name of a megabyte
            self._stop(named, f"no such file: {shown(str(base))}")
        resolved = _resolved(base)
        if resolved in chain:
            files = " -> ".join(escaped(file.name) for file in (*chain[chain.index(resolved) :], resolved))
            self._stop(named, f"files extend one another in a circle: {files}")
        if resolved in self._read:
            node = self._read[resolved]
            if self._count.is_too_high_with(n_values(node)):
                self._stop(named, TOO_MANY_VALUES)
            return node
        if len(chain) >= MAX_CHAIN or len(self._read) >= MAX_FILES:
            self._stop(named, f"more than {MAX_CHAIN} files in a chain, or {MAX_FILES} in all")
        self._read[resolved] = self.read(base, chain)
        return self._read[resolved]

    def _stop(self, node: Node, message: str) -> NoReturn:
        raise UnreadableError([ConfigIssue(node.place, "extends", message)])


def _resolved(path: Path) -> Path:
    """Without links. Unlike Path.resolve, it raises nothing for links in a circle."""
    return Path(os.path.realpath(path))
