"""The table of docs/metrics.md is that of the registry."""

from __future__ import annotations

from mlcli.registry import METRICS
from tests.fixtures.pages import read, table


def test_the_table_of_metrics_is_that_of_the_registry():
    rows = table(read("docs/metrics.md"))
    assert [name for name, *_ in rows] == [f"`{name}`" for name in METRICS]
    for (*_, better, needs), info in zip(rows, METRICS.values(), strict=True):
        assert better == ("lower" if info.is_lower_better else "higher")
        needed = ["probabilities"] * info.needs_probabilities + ["samples of two classes"] * info.needs_two_classes
        assert needs == ", ".join(needed)
