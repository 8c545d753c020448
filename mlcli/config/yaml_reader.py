"""YAML files and values, read safely into plain data that remembers where it was written.

PyYAML composes nodes, and none of its constructors is used: nothing is ever executed. Size, nesting and aliases are
bounded. Unquoted scalars follow the core schema of YAML 1.2: `1e-3` and `012` are numbers; `no`, `1:30` and
`2020-01-01` are text. Unlike there, `60_000` is a number, and numbers must be finite and fit into 64 bits.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlcli.config.layers import Key, KeyPath, Layer, Written, spelled_out
from mlcli.config.messages import ConfigIssue, SourceLocation, UnreadableError, key_path, shown
from mlcli.config.values import Scalar, checked, plain_scalar
from mlcli.errors import nearest_match
from mlcli.text import escaped

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 10_000

Locate = Callable[[int, int], SourceLocation]  # from line and column, both from 0

# What YAML does not allow unescaped; lone surrogates cannot appear in decoded UTF-8.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The parser takes seconds over a file that is full of them, and no tag is allowed that could need one.
_TAG_DIRECTIVE = re.compile("(?:^|[\n\r\x85\u2028\u2029])\ufeff?%TAG")
_OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}
_MERGE_KEY = "<<"
_TOO_LARGE = f"is larger than {MAX_BYTES / 1e6:.0f} MB, which no experiment needs; is it the right file?"


@dataclass
class ValueCount:
    """The number of values in a configuration: in all its files, aliases expanded."""

    n_values: int = 0

    def add(self, n_more: int, location: SourceLocation, path: str = "") -> None:
        """Count more values; UnreadableError if there are too many for any experiment."""
        self.n_values += n_more
        if self.n_values > MAX_VALUES:
            message = f"holds more than {MAX_VALUES} values, aliases expanded and extended files counted"
            raise UnreadableError(location, message, path)


def read_layer(path: Path, issues: list[ConfigIssue], count: ValueCount | None = None) -> Layer:
    """Return the settings in a file. UnreadableError if it cannot be read at all; other problems go to `issues`."""
    source = escaped(str(path))
    try:
        content = _read_bytes(path)
    except FileNotFoundError:
        raise UnreadableError(SourceLocation(source), f"no such file{_near_file(path)}") from None
    except IsADirectoryError:
        raise UnreadableError(SourceLocation(source), "is a directory; name a YAML file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError(SourceLocation(source), f"cannot be read: {escaped(reason)}") from None
    return parse_layer(content, source, issues, count)


def parse_layer(content: bytes, source: str, issues: list[ConfigIssue], count: ValueCount | None = None) -> Layer:
    """Return the settings in the content of a file, as `read_layer` does."""

    def locate(line: int, column: int) -> SourceLocation:
        return SourceLocation(source, line + 1, column + 1)

    if len(content) > MAX_BYTES:
        raise UnreadableError(SourceLocation(source), _TOO_LARGE)
    construction = _Construction(locate, issues, count or ValueCount())
    values = construction.read(_decoded(content, locate))
    if values is None:
        raise UnreadableError(locate(0, 0), "is empty; write settings as `key: value` lines")
    if not isinstance(values, dict):
        message = f"must hold settings as `key: value` lines, not {shown(values)}"
        raise UnreadableError(construction.written[()].value, message)
    return spelled_out(Layer(values, construction.written))


def parse_value(text: str, location: SourceLocation, issues: list[ConfigIssue]) -> Any:
    """Return a value given outside a file (`--set`, environment). UnreadableError if it cannot be read."""
    return _Construction(lambda line, column: location, issues, ValueCount()).read(text)


def _read_bytes(path: Path) -> bytes:
    """Return the content; OSError or ValueError for anything but a regular file of bounded size."""
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_BYTES:
        raise UnreadableError(SourceLocation(escaped(str(path))), _TOO_LARGE)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError("it is not a regular file (save what a pipe sends to a file first)")
    return path.read_bytes()


def _near_file(path: Path) -> str:
    """Return a hint at the YAML file in the same directory that was probably meant."""
    try:
        files = {Path(name).stem: name for name in os.listdir(path.parent) if name.endswith((".yaml", ".yml"))}
    except (OSError, ValueError):
        return ""
    guess = nearest_match(path.stem, list(files))
    return f" (did you mean '{escaped(str(path.parent / files[guess]))}'?)" if guess else ""


def _decoded(content: bytes, locate: Locate) -> str:
    for mark, encoding in _OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise UnreadableError(locate(0, 0), f"is {encoding}; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        message = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        raise UnreadableError(locate(*_end_of(before)), message) from None


def _end_of(text: str) -> tuple[int, int]:
    """Return line and column, from 0, of the position after a text."""
    lines = re.split(r"\r\n|\r|\n", text)
    return len(lines) - 1, len(lines[-1])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either class will do
    """PyYAML's loader, with an empty tag for every node that states none."""

    def resolve(self, *_: object) -> str:
        return ""


class _Construction:
    """Turns the text of one document into plain data; notes the location of every value, and issues."""

    def __init__(self, locate: Locate, issues: list[ConfigIssue], count: ValueCount) -> None:
        self.written: dict[KeyPath, Written] = {}
        self._locate = locate
        self._issues = issues
        self._count = count
        self._open: list[yaml.Node] = []  # the containers around the current value
        self._furthest = -1  # position in the text; what an alias repeats lies before it
        self._here = locate(0, 0)

    def read(self, text: str) -> Any:
        """Return the value of the single document, None if it is empty; UnreadableError."""
        self._check_characters(text)
        try:
            self._check_bounds(text)
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise UnreadableError(self._at(mark), _syntax_message(error, text, mark)) from None
        return None if node is None else self._value(node, ())

    def _check_characters(self, text: str) -> None:
        found = _FORBIDDEN.search(text)
        if found:
            message = f"the character {escaped(found.group())} is not allowed here"
            raise UnreadableError(self._locate(*_end_of(text[: found.start()])), message)
        found = _TAG_DIRECTIVE.search(text)
        if found:
            location = self._locate(*_end_of(text[: found.end() - len("%TAG")]))
            raise UnreadableError(location, "the directive %TAG is not allowed; only plain values are")

    def _check_bounds(self, text: str) -> None:
        """Refuse what would be costly to compose, from the events of the parser alone."""
        depth = n_documents = 0
        written = ValueCount()
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise UnreadableError(self._at(event.start_mark), "holds a second document; write one per file")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.NodeEvent):
                depth += isinstance(event, yaml.CollectionStartEvent)
                self._check_depth(depth, self._at(event.start_mark))
                written.add(1, self._at(event.start_mark))

    def _check_depth(self, depth: int, location: SourceLocation) -> None:
        if depth > MAX_DEPTH:
            raise UnreadableError(location, f"is nested more than {MAX_DEPTH} levels deep")

    def _value(self, node: yaml.Node, path: KeyPath, key: SourceLocation | None = None) -> Any:
        location = self._at(node.start_mark)
        if node.start_mark.index > self._furthest:
            self._furthest, self._here = node.start_mark.index, location
        self._count.add(1, self._here)
        self._check_tag(node, location, path)
        if isinstance(node, yaml.ScalarNode):
            value: Any = self._scalar(node, location, path)
        elif node in self._open:
            raise UnreadableError(self._here, "contains itself through an alias")
        else:
            self._open.append(node)
            self._check_depth(len(self._open), self._here)
            if isinstance(node, yaml.SequenceNode):
                value = [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            else:
                value = self._mapping(node, path)
            self._open.pop()
        self.written[path] = Written(key or location, location)
        return value

    def _scalar(self, node: yaml.ScalarNode, location: SourceLocation, path: KeyPath) -> Scalar:
        try:
            return checked(node.value) if node.style else plain_scalar(node.value)
        except ValueError as error:
            self._note(location, path, f"{error}, got {shown(node.value)}")
            return 0

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[Key, Any]:
        values: dict[Key, Any] = {}
        keys = [(self._key(key, path), self._at(key.start_mark), value) for key, value in node.value]
        sources = [source for name, _, value in keys if name == _MERGE_KEY for source in self._sources(value, path)]
        for source in reversed(sources):  # of two that hold a key, the earlier one wins
            values |= self._value(source, path)
        lines: dict[Key, int] = {}
        for name, location, value in keys:
            if isinstance(name, bool) or not isinstance(name, str | int):
                self._note(location, path, f"a key must be a name, got {shown(name)}")
            elif name in lines:
                first = f" (first in line {lines[name]})" if lines[name] else ""
                self._note(location, (*path, name), f"is set twice{first}")
            elif name != _MERGE_KEY:
                lines[name] = location.line
                values[name] = self._value(value, (*path, name), location)
        return values

    def _key(self, node: yaml.Node, path: KeyPath) -> object:
        location = self._at(node.start_mark)
        self._count.add(1, location)
        self._check_tag(node, location, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location, path)
        return {} if isinstance(node, yaml.MappingNode) else []

    def _sources(self, value: yaml.Node, path: KeyPath) -> list[yaml.Node]:
        """Return the mappings that `<<: value` merges into the one around it."""
        nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for node in nodes:
            if not isinstance(node, yaml.MappingNode):
                message = f"needs a mapping or a list of mappings, got {shown(self._value(node, (*path, _MERGE_KEY)))}"
                self._note(self._at(node.start_mark), (*path, _MERGE_KEY), message)
        return [node for node in nodes if isinstance(node, yaml.MappingNode)]

    def _check_tag(self, node: yaml.Node, location: SourceLocation, path: KeyPath) -> None:
        if node.tag:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._note(location, path, f"the tag {escaped(tag, 60)} is not allowed; only plain values are")

    def _note(self, location: SourceLocation, path: KeyPath, message: str) -> None:
        self._issues.append(ConfigIssue(location, key_path(path), message))

    def _at(self, mark: Any) -> SourceLocation:
        return self._locate(mark.line, mark.column)


def _syntax_message(error: yaml.MarkedYAMLError, text: str, mark: Any) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[mark.column : mark.column + 1] == "\t":
        return "a tab cannot indent YAML; use spaces"
    problem = "duplicate anchor" if error.problem == "second occurrence" else error.problem or error.context
    return f"is not valid YAML: {escaped(str(problem), 200)}"
