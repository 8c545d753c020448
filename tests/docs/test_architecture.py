"""docs/architecture.md names every package and module, in the order of the layers."""

from __future__ import annotations

import re
import tomllib

from tests.fixtures.pages import ROOT, read, section, table


def test_the_table_names_every_package_and_module_in_layer_order():
    rows = table(section("docs/architecture.md", "Packages"))
    described = [re.fullmatch(r"`mlcli/([\w.]+)`", row[0])[1] for row in rows]
    existing = [
        path.name
        for path in (ROOT / "mlcli").iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").is_file())
    ]
    assert sorted(described) == sorted(existing)
    contract = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    layer = {name: rank for rank, names in enumerate(contract["layers"]) for name in names.split(" | ")}
    ranks = [layer[name.removesuffix(".py")] for name in described]
    assert ranks == sorted(ranks)
