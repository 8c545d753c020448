"""`extends:` composes files: the named files, left to right, lie below the file that names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from mlcli.config.faults import Fault, UnreadableError, escaped, shown
from mlcli.config.merging import merged, normalised
from mlcli.config.nodes import Node, n_values, without
from mlcli.config.yaml_source import TOO_MANY_VALUES, ValueCount, read_yaml

MAX_FILES = 32
MAX_CHAIN = 8


def read_composed(path: Path) -> tuple[Node | None, list[Fault]]:
    """The settings of a file over those of the files it extends, and every fault met in reading them.

    None where one of the files cannot be read, or they extend one another in a circle.
    """
    composition = _Composition()
    try:
        return composition.read(path, chain=()), composition.faults
    except UnreadableError as error:
        return None, [*composition.faults, *error.faults]


class _Composition:
    """The files of one configuration. Each is read once, so that a diamond costs no more than a chain."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._read: dict[Path, Node] = {}
        self._count = ValueCount()

    def read(self, path: Path, chain: tuple[Path, ...]) -> Node:
        node, faults = read_yaml(path, self._count)
        self.faults += faults
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
        raise UnreadableError([Fault(node.place, "extends", message)])


def _resolved(path: Path) -> Path:
    """Without links. Unlike Path.resolve, it raises nothing for links in a circle."""
    return Path(os.path.realpath(path))
