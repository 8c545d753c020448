"""A configuration as YAML that loads back to an equal one, as plain data, and as a digest; and the JSON Schema."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from mlcli.config.schema import ExperimentConfig
from mlcli.config.values import plain_scalar, thawed

__all__ = ["config_digest", "json_schema", "to_dict", "to_yaml"]


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper with lists on one line, and quotes around text that would otherwise be read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain_text(text) else '"')


def _is_plain_text(text: str) -> bool:
    try:
        return isinstance(plain_scalar(text), str)
    except ValueError:
        return False


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Return the configuration as dicts, lists and scalars, with every key; `backends` only if it has entries."""
    data: dict[str, Any] = thawed(config.model_dump())
    if not data["backends"]:
        del data["backends"]
    return {key: _name_first(item) for key, item in data.items()}


def _name_first(section: Any) -> Any:
    return {"name": section["name"], **section} if isinstance(section, dict) and "name" in section else section


def settings_by_key(config: ExperimentConfig) -> dict[str, Any]:
    """Return every setting by dotted key, e.g. "optimizer.lr"; sections without keys are omitted."""
    return _leaves(to_dict(config), "")


def _leaves(section: dict[str, Any], prefix: str) -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in section.items():
        leaves |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def to_yaml(config: ExperimentConfig) -> str:
    """Return the configuration as YAML, in the order of the schema; it loads back to an equal configuration."""
    return yaml.dump(to_dict(config), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=100)


def config_digest(config: ExperimentConfig) -> str:
    """Return the sha256 (hex) of the configuration as canonical JSON; equal configurations have equal digests."""
    canonical = json.dumps(_canonical(to_dict(config)), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _canonical(value: Any) -> Any:
    """Return mappings as sorted pairs, because keys may be numbers, which JSON would turn into text."""
    if isinstance(value, dict):
        pairs = [[key, _canonical(item)] for key, item in value.items()]
        return {"": sorted(pairs, key=lambda pair: (isinstance(pair[0], str), pair[0]))}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


_EXTENDS = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    "description": "files, relative to this one, that this one overrides; later ones override earlier ones",
}
_SHORTHANDS = ("dataset", "model", "optimizer", "schedule")
_NOT_BY_BACKEND = ("backend", "backends")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
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
    """Return a schema in which no key is required, and a section without a name is any section that its keys fit."""
    if isinstance(value, list):
        return [_relaxed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _relaxed(item) for key, item in value.items() if key not in ("required", "discriminator", "title")}
    return {"anyOf" if key == "oneOf" else key: item for key, item in kept.items()}


def _with_shorthand(prop: dict[str, Any]) -> dict[str, Any]:
    """Return the property, which may also be just the name."""
    annotations = {key: item for key, item in prop.items() if key in ("description", "default")}
    shapes = {key: item for key, item in prop.items() if key not in annotations}
    return {"anyOf": [{"type": "string"}, *shapes.get("anyOf", [shapes])], **annotations}
