"""A configuration for a person's own data, to be edited: the work of `mlcli data init`."""

from __future__ import annotations

import json

from mlcli.config.dataset import DatasetConfig
from mlcli.config.dump import setting_yaml
from mlcli.config.layers import FILES
from mlcli.config.values import thawed
from mlcli.data.own.inspection import Inspection, InspectRequest, inspected


def init(request: InspectRequest) -> str:
    """Return a configuration as YAML; for a table with the kind of every column, for arrays with what they hold."""
    config = request.config()
    inspection = inspected(config, request.data_dir)
    lines = [
        f"# {inspection.n_rows:,} rows, {len(inspection.class_counts)} classes, {inspection.n_features:,} features",
        "dataset:",
        *(f"  {setting_yaml(key, path)}  # relative to this file" for key in FILES if (path := getattr(config, key))),
        *(f"  # {array.name}: {array.dtype} {array.shape}" for array in inspection.arrays),
        *_image_settings(inspection),
    ]
    if inspection.target is not None:
        lines += [f"  {setting_yaml('target', inspection.target)}", *_other_settings(config), "  columns:"]
    for column in inspection.columns if inspection.target is not None else ():
        kind = "ignore" if column.kind == "ignored" else column.kind
        missing = f", {column.n_missing:,} missing" if column.n_missing else ""
        lines.append(
            f"    {setting_yaml(column.name, kind)}  # {column.n_distinct:,} distinct{missing}: {column.values}"
        )
    lines += [f"# {finding}" for finding in inspection.findings]
    return "\n".join([*lines, f"model: {'cnn' if inspection.images else 'logistic'}", ""])


def _other_settings(config: DatasetConfig) -> list[str]:
    """Return a line for everything that is set besides the file, the target and the columns."""
    values = thawed(config.model_dump(exclude={"name", "target", "columns", *FILES}))
    defaults = DatasetConfig(path="t", target="t").model_dump()
    return [f"  {key}: {json.dumps(value)}" for key, value in values.items() if value != thawed(defaults[key])]


def _image_settings(inspection: Inspection) -> list[str]:
    if inspection.image_shape is None:
        return []
    channels, height, width = inspection.image_shape
    lines = [f"  image_size: {height}x{width}  # found: {inspection.images[0].sizes}"]
    lines += [f"  channels: {channels}  # found: {inspection.images[0].modes}"]
    damage = sum(part.n_damaged for part in inspection.images)
    return [*lines, *([f"  on_bad: skip  # {damage:,} damaged images"] if damage else [])]
