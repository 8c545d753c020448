"""The style of plots, and their files."""

from __future__ import annotations

import pytest

from mlcli.errors import UsageError
from mlcli.rendering import PlotFormat, plots

SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def test_the_error_without_matplotlib_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlcli\[plots\]'"):
        plots.require_matplotlib()


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(UsageError, match="--plot-format: unknown format 'jpg'.*png, svg"):
        plots.check_plots(tmp_path, "jpg", force=False)


@pytest.mark.parametrize("plot_format", PlotFormat)
def test_figures_are_written_in_the_chosen_format(tmp_path, plot_format):
    (path,) = plots.save_figures({"empty": plots.new_figure(2, 2)}, tmp_path / "new", plot_format)
    assert path == tmp_path / "new" / f"empty.{plot_format}"
    assert path.read_bytes().startswith(SIGNATURES[plot_format])


def test_an_engine_has_the_same_style_in_every_plot():
    three = dict(zip("stk", plots.series_styles(["sklearn", "torch", "keras"]), strict=True))
    assert plots.series_styles(["keras", "torch"]) == [three["k"], three["t"]]
    for name in ("color", "marker", "line"):
        assert len({getattr(style, name) for style in three.values()}) == 3, "readable in grey too"


def test_variants_of_one_engine_have_different_styles():
    styles = plots.series_styles(["torch", "keras", "torch"])
    assert len({style.color for style in styles}) == len({style.marker for style in styles}) == 3


def test_long_titles_and_run_ids_stay_within_the_figure():
    figure = plots.new_figure(6, 5)
    axes = figure.subplots()
    words = "Top 25 of 1,234 misclassified, by confidence: my_very_long_dataset_name, HistGradientBoosting, sklearn"
    plots.set_title(figure, words, "test split, " * 9, "20261125T134544123Z_" + "long_name_" * 12 + "torch_s0_a1b2c3")
    figure.draw_without_rendering()
    bounds = figure.bbox
    for text in (figure._suptitle, figure._supxlabel):
        box = text.get_window_extent()
        assert bounds.x0 <= box.x0 < box.x1 <= bounds.x1
        assert bounds.y0 <= box.y0 < box.y1 <= bounds.y1
    assert axes.get_window_extent().y1 <= figure._suptitle.get_window_extent().y0, "the title does not cover the axes"


@pytest.mark.parametrize(
    ("low", "high", "label"),
    [(0.02, 3, "0.05"), (0.97, 1.04, "1"), (0.9, 3, "1"), (0.9, 6, "1"), (10, 200_000, "20,000")],
)
def test_logarithmic_axes_have_plain_labels(low, high, label):
    figure = plots.new_figure(6, 4)
    axes = figure.subplots()
    axes.plot([low, high], [0.999_999, 1.000_001])
    axes.set_xscale("log")
    plots.plain_axes(axes)
    figure.draw_without_rendering()
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert label in labels
    assert not any("10^" in text or "e" in text for text in labels)
    assert axes.yaxis.get_offset_text().get_text() == ""
