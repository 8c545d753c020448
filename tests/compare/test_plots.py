"""The plots of a comparison."""

from __future__ import annotations

from mlcli.compare.plots import save_comparison_plots
from tests.fixtures.comparisons import THREE


def test_plots_are_those_that_the_runs_have_data_for(comparison_of, tmp_path):

    paths = save_comparison_plots(comparison_of(THREE), tmp_path)
    assert sorted(path.name for path in paths) == [
        "accuracy_against_time.png", "agreement.png", "differences.png", "learning_curves.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5_000 for path in paths)
    alone = save_comparison_plots(comparison_of({"a": THREE["a"]}), tmp_path / "alone")
    assert sorted(path.name for path in alone) == ["accuracy_against_time.png", "learning_curves.png"]
