"""Figures for files: matplotlib without a window, loaded only where something is drawn."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.errors import MlcliError, UsageError
from mlcli.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
# Okabe and Ito's palette, which keeps its colours apart for the colour-blind; further classes take tab10's.
PALETTE = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", RED, "#f0e442", "#000000", "#8c564b", "#7f7f7f")


def require_matplotlib() -> None:
    """UsageError, with the remedy, where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError("--save-plots needs matplotlib, which is not installed\npip install 'mlcli[plots]'")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plot_text(text: str) -> str:
    """A name as it is drawn: what stands between dollar signs in it is no formula."""
    return printable(text).replace("$", r"\$")


def plain_axes(axes: Axes) -> None:
    """No frame above and to the right, a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG beside its target and rename it; MlcliError where that fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(part, format="png", dpi=150)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MlcliError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
