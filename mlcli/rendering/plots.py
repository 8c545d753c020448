"""The style of all plots, and their files; matplotlib is imported only when a plot is drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from mlcli.errors import MlcliError, UsageError, unknown_name
from mlcli.files import disk_errors, written_whole
from mlcli.registry import BACKENDS
from mlcli.rendering import PlotFormat
from mlcli.text import first_line, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
# Okabe and Ito's palette for colour-blind readers, then two colours of tab10.
PALETTE = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", RED, "#f0e442", "#000000", "#8c564b", "#7f7f7f")
MARKERS = "os^Dv<>Pph"
_LINES = ("-", "--", ":", "-.")
_CHARACTERS_PER_INCH = 11  # of a title
_FOOTER_CHARACTERS_PER_INCH = 15


@dataclass(frozen=True)
class SeriesStyle:
    """How the data of one series are drawn; marker and line tell series apart without colour."""

    color: str
    marker: str
    line: str


def series_styles(backends: Sequence[str]) -> list[SeriesStyle]:
    """Return a style for each series: that of its engine, the same in all plots, or its own where engines repeat."""
    engines = list(BACKENDS)
    numbers = [engines.index(backend) for backend in backends]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(numbers)))
    return [SeriesStyle(PALETTE[n % len(PALETTE)], MARKERS[n % len(MARKERS)], _LINES[n % len(_LINES)]) for n in numbers]


def require_matplotlib() -> None:
    """UsageError, with the command that installs it, if matplotlib is missing. Call it before matplotlib is loaded."""
    if find_spec("matplotlib") is None:
        raise UsageError("--save-plots needs matplotlib, which is not installed\npip install 'mlcli[plots]'")
    os.environ["MPLBACKEND"] = "agg"  # notebooks export another, which only they can load


def check_plots(folder: Path | None, plot_format: str, *, force: bool) -> None:
    """UsageError if plots cannot be drawn, or if the folder for them has some already, unless `force` is set.

    folder: None if no plots are asked for. plot_format: a PlotFormat, else it is refused too.
    """
    if plot_format not in tuple(PlotFormat):
        raise UsageError(f"--plot-format: {unknown_name('format', plot_format, tuple(PlotFormat))}")
    if folder is None:
        return
    require_matplotlib()
    if not force and any(path.suffix.removeprefix(".") in tuple(PlotFormat) for path in folder.glob("*")):
        raise UsageError(f"--save-plots {folder}: has plots already; add --force to replace them")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure in the default style of matplotlib; width and height in inches.

    MlcliError if matplotlib cannot be loaded, e.g. because of a `matplotlibrc` in the working directory.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except Exception as error:
        raise MlcliError(f"no plots: matplotlib cannot be loaded: {first_line(error)}") from error
    matplotlib.rcdefaults()  # regardless of the settings of the user
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plot_text(text: str) -> str:
    """Return a name for a plot: text between dollar signs in it is not read as a formula."""
    return printable(text).replace("$", r"\$")


def set_title(figure: Figure, title: str, subtitle: str = "", footer: str = "") -> None:
    """Set the title at the left edge and a small footer at the right one, wrapped to the width of the figure."""
    width = figure.get_figwidth()
    lines = [line for text in (title, subtitle) for line in wrap(text, int(width * _CHARACTERS_PER_INCH))]
    figure.suptitle(plot_text("\n".join(lines)), fontsize=10.5, x=0.01, ha="left")
    if footer:
        lines = wrap(footer, int(width * _FOOTER_CHARACTERS_PER_INCH))
        figure.supxlabel(plot_text("\n".join(lines)), fontsize=7, color=GREY, x=0.99, ha="right")


def plain_axes(axes: Axes) -> None:
    """Remove the top and right edges of the frame, draw a faint grid behind the data, and write plain numbers.

    To be called when the data are drawn, because the tick labels depend on their range.
    """
    from matplotlib.ticker import ScalarFormatter

    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        formatter = axis.get_major_formatter()
        if axis.get_scale() == "log":
            _label_plainly(axis)
        elif isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)
            formatter.set_scientific(False)


def _label_plainly(axis: Axis) -> None:
    """Label a logarithmic axis with numbers such as 0.5 and 2,000, at 1, 2 and 5 of each decade or closer."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    is_wide = high > 4 * low
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if is_wide else MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.set_minor_formatter(NullFormatter())


def save_figures(figures: Mapping[str, Figure], directory: Path, plot_format: str) -> list[Path]:
    """Write each figure to a file of its name, and return the files; MlcliError if one cannot be written."""
    paths = [directory / f"{name}.{plot_format}" for name in figures]
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
    for path, figure in zip(paths, figures.values(), strict=True):
        with written_whole(path) as part:
            figure.savefig(part, format=plot_format, dpi=150)
    return paths
