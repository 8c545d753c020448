"""Validation of settings against the schema; each issue in plain English, with the location of the value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlcli.config.layers import Key, Layer
from mlcli.config.messages import MAX_SHOWN_CHARACTERS, ConfigIssue, did_you_mean, shown
from mlcli.config.schema import ExperimentConfig
from mlcli.config.values import PATTERN_MESSAGES, Section, reads_as_text
from mlcli.errors import unknown_name
from mlcli.registry import BACKENDS, DEFAULT_MODEL, DEFAULT_SCHEDULE, default_optimizer

NOT_BY_BACKEND = ("backend", "backends", "extends")
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


def validated(layer: Layer, backend: str) -> tuple[ExperimentConfig | None, list[ConfigIssue]]:
    """Return the configuration that settings describe for one engine, or None and every issue in them."""
    try:
        return ExperimentConfig.model_validate(_with_default_names(layer.values, backend)), []
    except ValidationError as error:
        return None, [_issue(layer, details) for details in error.errors(include_url=False)]


def issues_of_backends(whole: Layer) -> list[ConfigIssue]:
    """Return what the schema does not see: unknown engines, and keys that cannot differ by engine."""
    backends = whole.values.get("backends", {})
    if not isinstance(backends, dict):
        message = f"must be a mapping from engines to the settings that differ there, got {shown(backends)}"
        return [whole.issue(("backends",), message)]
    issues = []
    for name, values in backends.items():
        if name not in BACKENDS:
            message = unknown_name("backend", str(name)[:60], list(BACKENDS))
            issues.append(whole.issue(("backends", name), message, of_key=True))
        elif not isinstance(values, dict):
            issues.append(whole.issue(("backends", name), f"must be a mapping of settings, got {shown(values)}"))
        for key in NOT_BY_BACKEND:
            if isinstance(values, dict) and key in values:
                message = "cannot differ by engine; write it at the top level"
                issues.append(whole.issue(("backends", name, key), message, of_key=True))
    return issues


@cache  # because a file can have thousands of issues
def sections_of(owner: type[Section], key: str) -> tuple[type[Section], ...]:
    """Return the sections that a key may hold: none for a plain value, several if `name` chooses among them."""
    field = owner.model_fields.get(key)
    return tuple(_sections_in(field.annotation)) if field else ()


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections_in(argument)]


_CHOICES = [section for key in _CHOSEN_BY_NAME for section in sections_of(ExperimentConfig, key)]


def _with_default_names(values: dict[Key, Any], backend: str) -> dict[Key, Any]:
    """Return the settings in which a model, optimizer or schedule without a name has the default one."""
    model = values.get("model")
    model_name = model.get("name", DEFAULT_MODEL) if isinstance(model, dict) else DEFAULT_MODEL
    defaults = {
        "model": DEFAULT_MODEL,
        "schedule": DEFAULT_SCHEDULE,
        "optimizer": default_optimizer(backend, str(model_name)),
    }
    named = dict(values)
    for key, name in defaults.items():
        section = values.get(key)
        if name is not None and isinstance(section, dict) and "name" not in section:
            named[key] = {"name": name, **section}
    return named


def _issue(layer: Layer, details: ErrorDetails) -> ConfigIssue:
    loc = details["loc"]
    of_key = details["type"] in ("extra_forbidden", "invalid_key")
    if loc[-1:] == ("[key]",) and not of_key:
        loc, of_key = loc[:-1], True  # pydantic's mark for a key of the wrong kind
    is_chosen = bool(loc) and loc[0] in _CHOSEN_BY_NAME
    path = (loc[0], *loc[2:]) if is_chosen else loc  # pydantic puts the name of the choice behind such a key
    if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, "name")
    return layer.issue(path, _message(details, _owner(loc)), of_key=of_key)


def _owner(loc: Sequence[Key]) -> type[Section]:
    """Return the section that holds the last key of a location as pydantic reports it."""
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
        return f"must be one of {', '.join(choices)}, got {shown(value)}{did_you_mean(value, choices)}"
    if kind == "value_error":
        message = str(context["error"])
    elif kind == "string_pattern_mismatch":
        message = PATTERN_MESSAGES[context["pattern"]]
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
        return unknown_name(kind, name[:MAX_SHOWN_CHARACTERS], choices)
    return f"must be one of {', '.join(choices)}" + ("" if name is None else f", got {shown(name)}")


def _quotes_hint(kind: str, value: Any) -> str:
    """Return a hint if only the quotes, or their absence, are wrong."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        return " (put it in quotes)"
    if not isinstance(value, str) or kind not in ("int_type", "float_type", "bool_type"):
        return ""
    return "" if reads_as_text(value) or value == "" else " (remove the quotes)"
