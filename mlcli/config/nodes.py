"""Configuration as it was written: plain values that remember their place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlcli.config.messages import SourceLocation

Key = str | int


@dataclass(frozen=True)
class Node:
    """A scalar, a list or a mapping, and where it was written.

    section: "backends.torch" for what was written there and then merged over the rest, else empty.
    """

    content: Scalar | tuple[Node, ...] | Mapping[Key, Entry]
    place: SourceLocation
    section: str = ""

    @property
    def entries(self) -> Mapping[Key, Entry]:
        """The entries of a mapping; none for anything else."""
        return self.content if isinstance(self.content, Mapping) else {}

    def get(self, *path: Key) -> Node | None:
        """The node under a path of keys, or None."""
        node: Node | None = self
        for key in path:
            entry = node.entries.get(key) if node else None
            node = entry.node if entry else None
        return node


@dataclass(frozen=True)
class Entry:
    """One key of a mapping: where the key stands, and its value."""

    place: SourceLocation
    node: Node


def plain(node: Node) -> Any:
    """The node as plain Python data: dict, list and scalars."""
    if isinstance(node.content, Mapping):
        return {key: plain(entry.node) for key, entry in node.content.items()}
    if isinstance(node.content, tuple):
        return [plain(item) for item in node.content]
    return node.content


def n_values(node: Node) -> int:
    """How many values a node holds, itself and the keys included."""
    if isinstance(node.content, tuple):
        return 1 + sum(map(n_values, node.content))
    return 1 + sum(1 + n_values(entry.node) for entry in node.entries.values())


def with_entry(node: Node, key: Key, entry: Entry) -> Node:
    """A copy of a mapping with one entry set."""
    return replace(node, content={**node.entries, key: entry})


def without(node: Node, *keys: Key) -> Node:
    """A copy of a mapping with some keys left out; anything else as it is."""
    if not isinstance(node.content, Mapping):
        return node
    return replace(node, content={key: entry for key, entry in node.content.items() if key not in keys})


def in_section(node: Node, section: str) -> Node:
    """The node and everything below it, marked as written in `section`."""
    content = node.content
    if isinstance(content, Mapping):
        content = {key: Entry(entry.place, in_section(entry.node, section)) for key, entry in content.items()}
    elif isinstance(content, tuple):
        content = tuple(in_section(item, section) for item in content)
    return Node(content, node.place, section)


def nested(path: Sequence[Key], node: Node) -> Node:
    """The node under a path of keys, each mapping at the node's own place."""
    for key in reversed(path):
        node = Node({key: Entry(node.place, node)}, node.place)
    return node


def from_plain(value: object, place: SourceLocation) -> Node:
    """Plain Python data as a node, all of it at one place. ValueError for what no file could hold."""
    if isinstance(value, dict):
        return Node({key: Entry(place, from_plain(item, place)) for key, item in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node(tuple(from_plain(item, place) for item in value), place)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Node(checked_number(value), place)
    if isinstance(value, str):
        return Node(checked_text(value), place)
    if value is None or isinstance(value, bool):
        return Node(value, place)
    raise TypeError(f"a setting cannot be {type(value).__name__}")


Scalar = None | bool | int | float | str

_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INTEGER = re.compile(rf"[-+]?{_DIGITS}\Z")
_HEXADECIMAL_OR_OCTAL = re.compile(r"0x[0-9a-fA-F]+\Z|0o[0-7]+\Z")
_FLOAT = re.compile(rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}(?:\.(?:{_DIGITS})?)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
_MAX_INTEGER_CHARACTERS = 80
_TOO_LARGE = "the number is too large (text belongs in quotes)"


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar. ValueError, with the reason, for a number that cannot be held."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NOT_FINITE.match(text):
        raise ValueError("numbers must be finite")
    if _INTEGER.match(text):
        return _integer(text, 10)
    if _HEXADECIMAL_OR_OCTAL.match(text):
        return _integer(text, 0)
    if _FLOAT.match(text):
        return checked_number(float(text))
    return text


def _integer(text: str, base: int) -> int | float:
    if len(text) > _MAX_INTEGER_CHARACTERS:
        raise ValueError(_TOO_LARGE)
    return checked_number(int(text, base))


def checked_number(number: int | float) -> int | float:
    """The number itself; ValueError where it is not finite or needs more than 64 bits."""
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("numbers must be finite")
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise ValueError(_TOO_LARGE)
    return number


def checked_text(text: str) -> str:
    """The text itself; ValueError where it holds what no file could: bytes of an argument that are not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the text is not UTF-8") from None
    return text
