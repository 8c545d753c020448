"""The JSON Schema of configuration files, for editors: completion, descriptions, and faults while typing.

It describes files as they are written, so it also accepts `extends`, the shorthands, and files that leave to others
what they extend.
"""

from __future__ import annotations

from typing import Any

from mlcli.config.schema import ExperimentConfig

_EXTENDS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "description": "files, relative to this one, whose settings lie below those of this file, left to right",
}
_SHORTHANDS = ("dataset", "model", "optimizer", "schedule")
_NOT_BY_BACKEND = ("backend", "backends")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a configuration file."""
    schema = _relaxed(ExperimentConfig.model_json_schema())
    properties = schema["properties"]
    for key in _SHORTHANDS:
        properties[key] = _with_shorthand(properties[key])
    entry = {key: value for key, value in properties.items() if key not in _NOT_BY_BACKEND}
    schema["$defs"]["BackendEntry"] = {
        "anyOf": [{"type": "object", "properties": entry, "additionalProperties": False}, {"type": "null"}]
    }
    properties["backends"]["additionalProperties"] = {"$ref": "#/$defs/BackendEntry"}
    schema["properties"] = {"extends": _EXTENDS, **properties}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlcli experiment", **schema}


def _relaxed(value: Any) -> Any:
    """No key is required, and a section without a name is whichever section its keys fit."""
    if isinstance(value, list):
        return [_relaxed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _relaxed(item) for key, item in value.items() if key not in ("required", "discriminator", "title")}
    return {"anyOf" if key == "oneOf" else key: item for key, item in kept.items()}


def _with_shorthand(prop: dict[str, Any]) -> dict[str, Any]:
    """The property, which may also be the name alone."""
    annotations = {key: item for key, item in prop.items() if key in ("description", "default")}
    shapes = {key: item for key, item in prop.items() if key not in annotations}
    return {"anyOf": [{"type": "string"}, *shapes.get("anyOf", [shapes])], **annotations}
