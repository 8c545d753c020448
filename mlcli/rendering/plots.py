"""The style of all plots, written as PNG files; matplotlib is imported only when a plot is drawn."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.errors import MlcliError, UsageError
from mlcli.files import disk_errors, written_whole
from mlcli.text import first_line, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
# Okabe and Ito's palette for colour-blind readers, then two colours of tab10.
PALETTE = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", RED, "#f0e442", "#000000", "#8c564b", "#7f7f7f")


def require_matplotlib() -> None:
    """UsageError, with the command that installs it, if matplotlib is missing. Call it before matplotlib is loaded."""
    if find_spec("matplotlib") is None:
        raise UsageError("--save-plots needs matplotlib, which is not installed\npip install 'mlcli[plots]'")
    os.environ["MPLBACKEND"] = "agg"  # notebooks export another, which only they can load


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


def plain_axes(axes: Axes) -> None:
    """Remove the top and right edges of the frame, and draw a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG and return its path; MlcliError if it cannot be written."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        figure.savefig(part, format="png", dpi=150)
    return path
