"""A configuration as YAML that loads back to an equal one, as plain data, and as a digest; and the JSON Schema."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import Any

import yaml

from mlcli.config.layers import FILES, NAMED_SECTIONS, OWN_DATA
from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import NOT_BY_BACKEND
from mlcli.config.values import reads_as_text, thawed

__all__ = ["config_digest", "json_schema", "to_dict", "to_yaml"]


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper with lists on one line, and quotes around text that would otherwise be read as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if reads_as_text(text) else '"')


def _list(dumper: _Dumper, items: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


# Keys that the first version did not have; without them, what is not set has the digests of that version.
_SHOWN_IF_SET = (
    "dataset.header",
    "dataset.encoding",
    "dataset.group",
    "dataset.time",
    "dataset.split_column",
    "dataset.folds",
    "dataset.fold",
    "dataset.image_size",
    "dataset.channels",
    "dataset.on_bad",
    "dataset.test_path",
    "dataset.validation_path",
    "training.class_weight",
    "runtime.samples",
)


def to_dict(config: ExperimentConfig) -> dict[str, Any]:
    """Return the configuration as dicts, lists and scalars, with every key that applies.

    `backends` only if it has entries, keys of _SHOWN_IF_SET only if they differ from their default, and of a dataset
    either its name or the keys of a table of one's own.
    """
    data: dict[str, Any] = thawed(config.model_dump(exclude=None if config.backends else {"backends"}))
    for key in NAMED_SECTIONS:
        if data[key] is not None:
            data[key] = {"name": data[key]["name"], **data[key]}  # the name first, also of inherited settings
    for key in OWN_DATA if config.dataset.path is None else ("name",):
        del data["dataset"][key]
    for section, _, key in (name.partition(".") for name in _SHOWN_IF_SET):
        field = type(getattr(config, section)).model_fields[key]
        if data[section].get(key) == field.get_default(call_default_factory=True):
            data[section].pop(key, None)
    return data


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


def setting_yaml(key: str, value: str) -> str:
    """Return one text setting as a line of YAML, in quotes where it would be read as something else."""
    return yaml.dump({key: value}, Dumper=_Dumper, width=10_000, allow_unicode=True).rstrip("\n")


def config_digest(config: ExperimentConfig) -> str:
    """Return the sha256 (hex) of the configuration as canonical JSON; equal configurations have equal digests.

    The folders of files do not count: their content has a digest of its own.
    """
    data = to_dict(config)
    for key in FILES:
        if data["dataset"].get(key) is not None:
            data["dataset"][key] = PurePath(data["dataset"][key]).name
    canonical = json.dumps(_canonical(data), ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _canonical(value: Any) -> Any:
    """Return mappings as sorted pairs, because keys may be numbers, which JSON would turn into text."""
    if isinstance(value, dict):
        pairs = [[key, _canonical(item)] for key, item in value.items()]
        return {"": sorted(pairs, key=lambda pair: (isinstance(pair[0], str), pair[0]))}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    schema = _relaxed(ExperimentConfig.model_json_schema())
    properties = schema["properties"]
    for key in NAMED_SECTIONS:
        properties[key] = _or_text(properties[key])
    entry = {key: value for key, value in properties.items() if key not in NOT_BY_BACKEND}
    settings = {"type": "object", "properties": entry, "additionalProperties": False}
    schema["$defs"]["BackendEntry"] = {"anyOf": [settings, {"type": "null"}]}
    properties["backends"]["additionalProperties"] = {"$ref": "#/$defs/BackendEntry"}
    files = "files, relative to this one, that this one overrides; later ones override earlier ones"
    extends = _or_text({"type": "array", "items": {"type": "string"}, "description": files})
    schema["properties"] = {"extends": extends, **properties}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mlcli experiment", **schema}


def _relaxed(value: Any) -> Any:
    """Return a schema in which no key is required, and a section without a name is any section that its keys fit."""
    if isinstance(value, list):
        return [_relaxed(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _relaxed(item) for key, item in value.items() if key not in ("required", "discriminator", "title")}
    return {"anyOf" if key == "oneOf" else key: item for key, item in kept.items()}


def _or_text(prop: dict[str, Any]) -> dict[str, Any]:
    """Return the property, which may also be plain text: a name, or a file."""
    annotations: dict[str, Any] = {key: prop.pop(key) for key in ("default", "description") if key in prop}
    return {"anyOf": [{"type": "string"}, *prop.get("anyOf", [prop])], **annotations}
