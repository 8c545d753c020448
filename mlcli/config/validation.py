"""The schema's verdict on a configuration, in plain words and at the place where each value was written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlcli.config.messages import ConfigIssue, SourceLocation, did_you_mean, key_path, shown
from mlcli.config.nodes import Entry, Key, Node, plain, plain_scalar, with_entry
from mlcli.config.schema import ExperimentConfig, Section
from mlcli.errors import unknown_name
from mlcli.registry import DEFAULT_MODEL, DEFAULT_SCHEDULE, default_optimizer

_CHOSEN_BY_NAME = ("model", "optimizer", "schedule")
_EXPECTED = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of settings",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
    "too_short": "must have at least {min_length} entry",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:.10g}",
    "less_than_equal": "must be at most {le:.10g}",
}
_MAX_WORD_CHARACTERS = 60


def validated(root: Node, backend: str) -> tuple[ExperimentConfig | None, list[ConfigIssue]]:
    """The configuration that a mapping describes for one engine, or None and every issue in it."""
    root = _with_default_names(root, backend)
    try:
        return ExperimentConfig.model_validate(plain(root)), []
    except ValidationError as error:
        return None, [_fault(root, details) for details in error.errors(include_url=False)]


@cache  # because a file can have thousands of issues
def sections_of(owner: type[Section], key: str) -> tuple[type[Section], ...]:
    """The sections that may stand under a key: none for a plain value, several where `name` chooses."""
    field = owner.model_fields.get(key)
    return tuple(_sections_in(field.annotation)) if field else ()


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections_in(argument)]


_CHOICES = [section for key in _CHOSEN_BY_NAME for section in sections_of(ExperimentConfig, key)]


def _with_default_names(root: Node, backend: str) -> Node:
    """A model, optimizer or schedule that states no name is the default one."""
    root = _with_default_name(root, "model", DEFAULT_MODEL)
    root = _with_default_name(root, "schedule", DEFAULT_SCHEDULE)
    model = root.get("model", "name")
    model_name = str(model.content) if model else DEFAULT_MODEL
    return _with_default_name(root, "optimizer", default_optimizer(backend, model_name))


def _with_default_name(root: Node, key: str, name: str | None) -> Node:
    node = root.get(key)
    if name is None or node is None or not isinstance(node.content, dict) or "name" in node.content:
        return root
    named = with_entry(node, "name", Entry(node.place, replace(node, content=name)))
    return with_entry(root, key, Entry(root.entries[key].place, named))


def _fault(root: Node, details: ErrorDetails) -> ConfigIssue:
    loc = details["loc"]
    of_key = details["type"] in ("extra_forbidden", "invalid_key")
    if loc[-1:] == ("[key]",) and any(isinstance(key, int) for key in loc[-2:]):
        loc, of_key = loc[:-1], True  # pydantic's mark for a key that should be text
    is_chosen = bool(loc) and loc[0] in _CHOSEN_BY_NAME
    path = (loc[0], *loc[2:]) if is_chosen else loc  # pydantic puts the name of the choice behind such a key
    if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, "name")
    place, shown_path = _written_at(root, path, of_key=of_key)
    return ConfigIssue(place, key_path(shown_path), _message(details, _owner(loc)))


def _written_at(root: Node, path: Sequence[Key], *, of_key: bool) -> tuple[SourceLocation, list[Key]]:
    """Where the value (or the key) of a path was written, or its owner if it is missing; and the path as written."""
    node, place = root, root.place
    written: list[Key] = []
    for key in path:
        written.append(key if isinstance(node.content, tuple) else str(key))
        if isinstance(node.content, tuple) and isinstance(key, int):
            node = node.content[key]
            place = node.place
        elif key in node.entries:
            place = node.entries[key].place if of_key else node.entries[key].node.place
            node = node.entries[key].node
        else:
            break
    return place, [*node.section.split("."), *written] if node.section else written


def _owner(loc: Sequence[Key]) -> type[Section]:
    """The section that holds the last key of a location in pydantic's terms."""
    owner: type[Section] = ExperimentConfig
    for key, below in zip(loc, [*loc[1:], None], strict=False):
        sections = sections_of(owner, str(key))
        named = tuple(section for section in sections if _name_of(section) == below)
        if named or len(sections) == 1:
            owner = (named or sections)[0]
    return owner


@cache
def _name_of(section: type[Section]) -> Any:
    field = section.model_fields.get("name")
    return field.default if field else None


def _message(details: ErrorDetails, owner: type[Section]) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    key = str(details["loc"][-1]) if details["loc"] else ""
    if kind in ("extra_forbidden", "invalid_key"):
        return _unknown_key(key, owner)
    if kind == "missing":
        return "is required"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_choice(key, value, [str(_name_of(section)) for section in sections_of(owner, key)])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"must be one of {', '.join(choices)}, got {shown(value)}{_did_you_mean_value(value, choices)}"
    if kind == "value_error":
        message = str(context["error"])
    else:
        message = _EXPECTED.get(kind, details["msg"]).format_map(context)
    return f"{message}, got {shown(value)}{_quotes_hint(kind, value)}" if message.startswith("must be ") else message


def _unknown_key(key: str, owner: type[Section]) -> str:
    known = sorted(owner.model_fields, key=lambda name: name != "name")
    of_choice = f" of {_name_of(owner)}" if owner in _CHOICES else ""
    return f"unknown key{of_choice}{did_you_mean(key, known) or '; known: ' + ', '.join(known)}"


def _unknown_choice(kind: str, value: Any, choices: list[str]) -> str:
    name = value.get("name") if isinstance(value, dict) else None
    if isinstance(name, str):
        return unknown_name(kind, name[:_MAX_WORD_CHARACTERS], choices)
    return f"must be one of {', '.join(choices)}" + ("" if name is None else f", got {shown(name)}")


def _did_you_mean_value(value: Any, choices: list[str]) -> str:
    return did_you_mean(value, choices) if isinstance(value, str) else ""


def _quotes_hint(kind: str, value: Any) -> str:
    """Where the quotes, or their absence, are all that is wrong."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        return " (put it in quotes)"
    if not isinstance(value, str) or kind not in ("int_type", "float_type", "bool_type"):
        return ""
    try:
        is_text = isinstance(plain_scalar(value), str)
    except ValueError:
        return ""
    return "" if is_text or value == "" else " (remove the quotes)"
