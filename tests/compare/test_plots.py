"""The plots of a comparison."""

from __future__ import annotations

import pytest

from mlcli.compare.plots import comparison_plots, save_comparison_plots
from tests.fixtures.comparisons import THREE


@pytest.fixture
def plots(comparison_of):
    return comparison_plots(comparison_of(THREE))


def test_plots_are_those_that_the_runs_have_data_for(comparison_of, tmp_path):
    paths = save_comparison_plots(comparison_of(THREE), tmp_path, "png")
    assert sorted(path.name for path in paths) == [
        "accuracy_against_time.png", "agreement.png", "differences.png", "learning_curves.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5_000 for path in paths)
    alone = save_comparison_plots(comparison_of({"a": THREE["a"]}), tmp_path / "alone", "svg")
    assert sorted(path.name for path in alone) == ["accuracy_against_time.svg", "learning_curves.svg"]


def test_the_differences_show_verdicts_and_the_margins_of_a_tie(plots):
    figure = plots["differences"].figure
    for axes, margins in zip(figure.axes, [(-1.0, 1.0), (1 / 1.05, 1.05)], strict=True):
        (band,) = axes.patches
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(margins)
    accuracy, time = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert accuracy == ["tie", "worse"]
    assert time == ["tie", "slower"]


def test_a_variant_has_one_colour_and_marker_in_every_plot(plots):
    curves = {line.get_label(): line for line in plots["learning_curves"].figure.axes[0].lines}
    for axes in plots["differences"].figure.axes:
        drawn = [(line.get_color(), line.get_marker()) for line in axes.lines if line.get_marker() != "None"]
        assert drawn == [(curves[label].get_color(), curves[label].get_marker()) for label in ("c", "b")]


def test_counts_of_samples_have_whole_ticks(comparison_of):
    few = comparison_plots(comparison_of({"a": ([1, 1], [1.0, 1.0]), "b": ([2, 2], [1.0, 1.0])}))
    ticks = few["agreement"].figure.axes[0].get_xticks()
    assert all(tick == int(tick) for tick in ticks), ticks


def test_curves_that_coincide_are_named(plots):
    assert "identical curves: a, b, c" in plots["learning_curves"].figure.get_suptitle()


def test_descriptions_tell_what_is_seen(plots):
    assert "b: accuracy -7.1" in plots["differences"].description
    assert "percentage points, worse; fit time 2" in plots["differences"].description
    assert "c ends at 0.8000" in plots["learning_curves"].description
    assert "All right on" in plots["agreement"].description
    assert all("named on digits" in plot.description for plot in plots.values())
