"""YAML, read safely into nodes that know their line and column.

Built on PyYAML's event stream and not on its constructors: nothing is ever executed, nesting and aliases are
bounded while reading, and every key and value keeps its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mlcli.config.messages import ConfigIssue, SourceLocation, UnreadableError, key_path, shown
from mlcli.config.nodes import Entry, Key, Node, checked_text, plain_scalar
from mlcli.config.source_text import checked_characters, read_text
from mlcli.text import escaped

MAX_DEPTH = 32
MAX_VALUES = 10_000
TOO_MANY_VALUES = f"holds more than {MAX_VALUES} values, aliases expanded and extended files counted"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE_KEY = "<<"


@dataclass
class ValueCount:
    """How many values a configuration makes: those of all its files, each time that they are used."""

    n_values: int = 0

    def is_too_high_with(self, n_more: int) -> bool:
        """Add some, and tell whether no experiment needs so many."""
        self.n_values += n_more
        return self.n_values > MAX_VALUES


def read_yaml(path: Path, count: ValueCount | None = None) -> tuple[Node, list[ConfigIssue]]:
    """The mapping in a file, and the issues that did not prevent reading the rest (duplicate keys, tags).

    count: goes on from the files read before, if any. UnreadableError where the file cannot be read at all.
    """
    source = escaped(str(path))
    node, issues = parse_yaml(
        read_text(path), lambda mark: SourceLocation(source, mark.line + 1, mark.column + 1), count
    )
    start = SourceLocation(source, 1, 1)
    if node is None or node.content is None:
        raise UnreadableError([*issues, ConfigIssue(start, "", "is empty; write settings as `key: value` lines")])
    if not isinstance(node.content, dict):
        message = f"must hold settings as `key: value` lines, not {shown(node.content)}"
        raise UnreadableError([*issues, ConfigIssue(node.place, "", message)])
    return node, issues


def parse_value(text: str, place: SourceLocation) -> tuple[Node | None, list[ConfigIssue]]:
    """A value given outside a file (`--set`, environment), all of it at one place; None where it cannot be read."""
    try:
        node, issues = parse_yaml(checked_characters(text, place.source), lambda _: place)
    except UnreadableError as error:
        return None, [ConfigIssue(place, "", issue.message) for issue in error.issues]
    return node or Node(None, place), issues


def parse_yaml(
    text: str, place_of: Callable[[Any], SourceLocation], count: ValueCount | None = None
) -> tuple[Node | None, list[ConfigIssue]]:
    """The single document in `text`, None where there is none. place_of turns PyYAML's marks into places."""
    composer = _Composer(place_of, count or ValueCount())
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = place_of(mark)
        composer.issues.append(ConfigIssue(place, "", _syntax_message(error, text, mark)))
        raise UnreadableError(composer.issues) from None
    return composer.root, composer.issues


def _syntax_message(error: yaml.MarkedYAMLError, text: str, mark: Any) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[mark.column : mark.column + 1] == "\t":
        return "a tab cannot indent YAML; use spaces"
    return f"is not valid YAML: {escaped(error.problem or str(error.context), 200)}"


@dataclass
class _Open:
    """A list or mapping whose end has not been met. A mapping's items are keys and values in turn."""

    place: SourceLocation
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    n_values: int = 1
    height: int = 0  # levels below this one


class _Composer:
    """Turns events into nodes without recursion, and stops at the first sign of an attack."""

    def __init__(self, place_of: Callable[[Any], SourceLocation], count: ValueCount) -> None:
        self.root: Node | None = None
        self.issues: list[ConfigIssue] = []
        self._place_of = place_of
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # node, values in it, levels in it
        self._counted = count
        self._n_documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event. UnreadableError for what makes the document unreadable as a whole."""
        place = self._place_of(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            self._n_documents += 1
            if self._n_documents > 1:
                self._stop(place, "holds a second document; one file is one experiment")
        elif isinstance(event, yaml.ScalarEvent):
            self._count(1, place)
            self._check_tag(event, place)
            self._add(self._scalar(event, place), event.anchor, n_values=1, height=0)
        elif isinstance(event, yaml.AliasEvent):
            self._add_alias(event, place)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._count(1, place)
            self._check_tag(event, place)
            self._open.append(_Open(place, event.anchor, isinstance(event, yaml.MappingStartEvent)))
            self._check_depth(len(self._open), place)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            closed = self._open.pop()
            node = Node(self._mapping(closed.items) if closed.is_mapping else tuple(closed.items), closed.place)
            self._add(node, closed.anchor, closed.n_values, closed.height + 1)

    def _scalar(self, event: yaml.ScalarEvent, place: SourceLocation) -> Node:
        is_plain = event.implicit[0]
        try:
            return Node(plain_scalar(event.value) if is_plain else checked_text(event.value), place)
        except ValueError as error:
            self._fault(place, f"{error}, got {shown(event.value)}")
            return Node(0, place)

    def _add(self, node: Node, anchor: str | None, n_values: int, height: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, n_values, height)
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.items.append(node)
        parent.n_values += n_values
        parent.height = max(parent.height, height)

    def _add_alias(self, event: yaml.AliasEvent, place: SourceLocation) -> None:
        name = event.anchor or ""
        if any(container.anchor == name for container in self._open):
            self._stop(place, f"the alias *{escaped(name, 60)} contains itself")
        if name not in self._anchors:
            self._stop(place, f"the alias *{escaped(name, 60)} has no anchor before it")
        node, n_values, height = self._anchors[name]
        self._count(n_values, place)
        self._check_depth(len(self._open) + height, place)
        self._add(node, None, n_values, height)

    def _mapping(self, items: list[Node]) -> dict[Key, Entry]:
        entries: dict[Key, Entry] = {}
        merged: dict[Key, Entry] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            name = key.content
            if isinstance(name, bool) or not isinstance(name, str | int):
                self._fault(key.place, f"a key must be a name, got {shown(name)}")
            elif name == _MERGE_KEY:
                merged = {**self._merge_entries(value), **merged}
            elif name in entries:
                first = entries[name].place.line
                self._fault(key.place, f"is set twice (first in line {first})" if first else "is set twice", name)
            else:
                entries[name] = Entry(key.place, value)
        return {**merged, **entries}

    def _merge_entries(self, value: Node) -> dict[Key, Entry]:
        """What `<<: value` brings; of several mappings the earlier ones win, as YAML's merge keys have it."""
        merged: dict[Key, Entry] = {}
        for source in value.content if isinstance(value.content, tuple) else (value,):
            if isinstance(source.content, dict):
                merged = {**source.content, **merged}
            else:
                self._fault(source.place, f"needs a mapping or a list of mappings, got {shown(source.content)}", "<<")
        return merged

    def _check_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: SourceLocation) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._fault(place, f"the tag {escaped(tag, 60)} is not allowed; only plain values are")

    def _check_depth(self, depth: int, place: SourceLocation) -> None:
        if depth > MAX_DEPTH:
            self._stop(place, f"is nested more than {MAX_DEPTH} levels deep")

    def _count(self, n_values: int, place: SourceLocation) -> None:
        if self._counted.is_too_high_with(n_values):
            self._stop(place, TOO_MANY_VALUES)

    def _path(self) -> list[Key]:
        """The keys of the value that is being read."""
        path: list[Key] = []
        for container in self._open:
            if not container.is_mapping:
                path.append(len(container.items))
            elif len(container.items) % 2:
                key = container.items[-1].content
                path.append(key if isinstance(key, str | int) else "?")
        return path

    def _fault(self, place: SourceLocation, message: str, *below: Key) -> None:
        self.issues.append(ConfigIssue(place, key_path([*self._path(), *below]), message))

    def _stop(self, place: SourceLocation, message: str) -> NoReturn:
        self.issues.append(ConfigIssue(place, "", message))
        raise UnreadableError(self.issues)
