"""Layers of settings as plain data that remembers where it was written, and how one layer is merged over another.

Mappings merge key by key. A `model`, `optimizer` or `schedule` with another name than the one below replaces it
whole, because the settings of one optimizer mean nothing to another; an estimator of another class drops the
parameters of the one below, and an `init_from` of another run its digest. A `dataset` with another name or file keeps
the other keys: splits, scaling and limit mean the same for all data. A name replaces a file with its target and
columns, and a file replaces a name. Any other value replaces the one below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlcli.config.messages import ConfigIssue, SourceLocation, key_path
from mlcli.registry import DEFAULT_MODEL, DEFAULT_SCHEDULE

Key = str | int
KeyPath = tuple[Key, ...]

NAMED_SECTIONS = ("dataset", "model", "optimizer", "schedule")  # plain text stands for {name: text}
# Another value under the key replaces the whole section. The last item is the value of a section without the key.
_REPLACED_BY = (
    ("model", "name", DEFAULT_MODEL),
    ("optimizer", "name", None),
    ("schedule", "name", DEFAULT_SCHEDULE),
    ("init_from", "run", None),
)
FILES = ("path", "test_path", "validation_path")  # keys of a dataset that name files
# Keys of a dataset that is a file or folder and has no name.
_OF_TABLES = ("target", "header", "columns", "missing", "encoding", "group", "time", "split_column")
OWN_DATA = (*FILES, *_OF_TABLES, "image_size", "channels", "on_bad")
_NOWHERE = SourceLocation("defaults")


@dataclass(frozen=True)
class Written:
    """Where a key and its value were written.

    section: "backends.torch" for settings from that entry that were merged over the common ones, else empty.
    """

    key: SourceLocation
    value: SourceLocation
    section: str = ""


@dataclass(frozen=True)
class Layer:
    """The settings of one source, or of several merged, and the location of every one of them."""

    values: dict[Key, Any] = field(default_factory=dict)
    written: dict[KeyPath, Written] = field(default_factory=lambda: {(): Written(_NOWHERE, _NOWHERE)})

    def without(self, *keys: Key) -> Layer:
        """Return a copy without some top-level keys."""
        values = {key: value for key, value in self.values.items() if key not in keys}
        return Layer(values, {path: where for path, where in self.written.items() if not path or path[0] not in keys})

    def entry(self, backend: str) -> Layer:
        """Return the settings under `backends.BACKEND` as a layer of its own, which knows that origin."""
        path: KeyPath = ("backends", backend)
        section = ".".join(map(str, path))
        written = {
            below[len(path) :]: replace(where, section=section)
            for below, where in self.written.items()
            if below[: len(path)] == path
        }
        return Layer(self.values["backends"][backend], written)

    def issue(self, path: Sequence[Key], message: str, *, of_key: bool = False) -> ConfigIssue:
        """Return an issue of the value under a path, or of its key, with the location and the full path of either."""
        where, full = self.find(path)
        return ConfigIssue(where.key if of_key else where.value, key_path(full), message)

    def find(self, path: Sequence[Key]) -> tuple[Written, list[Key]]:
        """Return where the value under a path was written (the nearest value around it, if missing), and its full path.

        In the full path, keys of mappings are text and positions in lists are numbers.
        """
        value: Any = self.values
        found: KeyPath = ()
        full: list[Key] = []
        for key in path:
            in_list = isinstance(value, list)
            full.append(key if in_list else str(key))
            if not (in_list and isinstance(key, int)) and not (isinstance(value, dict) and key in value):
                break
            value = value[key]
            found = (*found, key)
        while found not in self.written:
            found = found[:-1]
        where = self.written[found]
        return where, [*where.section.split("."), *full] if where.section else full


def one_setting(path: Sequence[Key], value: Any, location: SourceLocation) -> Layer:
    """Return a layer with the value under a path of keys, all of it written at one location."""
    for key in reversed(path):
        value = {key: value}
    written: dict[KeyPath, Written] = {}
    _note_location(value, (), Written(location, location), written)
    return spelled_out(Layer(value, written))


def _note_location(value: Any, path: KeyPath, where: Written, written: dict[KeyPath, Written]) -> None:
    written[path] = where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _note_location(item, (*path, key), where, written)


def spelled_out(layer: Layer) -> Layer:
    """Return the layer with shorthands written out: `dataset: iris` as {name: iris}, an empty engine entry as {}."""
    written = dict(layer.written)
    values = _with_names(layer.values, (), written)
    if isinstance(values.get("backends"), dict):
        values["backends"] = {
            key: _with_names({} if entry is None else entry, ("backends", key), written)
            for key, entry in values["backends"].items()
        }
    return Layer(values, written)


def _with_names(values: Any, path: KeyPath, written: dict[KeyPath, Written]) -> Any:
    if not isinstance(values, dict):
        return values
    values = dict(values)
    for section in NAMED_SECTIONS:
        if isinstance(values.get(section), str):
            values[section] = {"name": values[section]}
            location = written[(*path, section)].value
            written[(*path, section, "name")] = Written(location, location)
    return values


def merged(lower: Layer, upper: Layer) -> Layer:
    """Return one configuration merged over another, by the rules above; the entries of `backends` one by one."""
    return overlaid(replace(lower, values=_without_replaced(lower.values, upper.values)), upper)


def overlaid(lower: Layer, upper: Layer) -> Layer:
    """Return `upper` over `lower`, mappings key by key, whatever names they state."""
    return Layer(_overlaid(lower.values, upper.values), lower.written | upper.written)


def _overlaid(lower: Any, upper: Any) -> Any:
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    return lower | {key: _overlaid(lower[key], value) if key in lower else value for key, value in upper.items()}


def _without_replaced(lower: Any, upper: Any) -> Any:
    """Return the lower settings without those that names in the upper ones replace."""
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return lower
    kept = dict(lower)
    for section, key, default in _REPLACED_BY:
        if _differ(lower, upper, section, key, default):
            kept.pop(section, None)
    if isinstance(kept.get("dataset"), dict) and isinstance(upper.get("dataset"), dict):
        replaced = {"path": ("name",), "name": OWN_DATA}
        gone = {key for chosen, keys in replaced.items() if upper["dataset"].get(chosen) is not None for key in keys}
        kept["dataset"] = {key: value for key, value in kept["dataset"].items() if key not in gone}
    if "model" in kept and _differ(lower, upper, "model", "estimator"):
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "parameters"}
    below, above = kept.get("backends"), upper.get("backends")
    if isinstance(below, dict) and isinstance(above, dict):
        kept["backends"] = {key: _without_replaced(entry, above.get(key)) for key, entry in below.items()}
    return kept


def _differ(lower: dict[Key, Any], upper: dict[Key, Any], section: str, key: str, default: str | None = None) -> bool:
    """Whether both settings state the value under a key of a section, and not the same; default: what lower implies."""
    below, above = (
        mapping.get(key) if isinstance(mapping, dict) else None for mapping in (lower.get(section), upper.get(section))
    )
    below = default if below is None else below
    return below is not None and above is not None and below != above
