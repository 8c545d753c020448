"""Learning curves: loss and accuracy by epoch, with the epoch of least validation loss and where overfitting begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlcli.metrics.overfitting import Overfitting, overfitting
from mlcli.records import EpochRecord
from mlcli.rendering.plots import BLUE, GREY, ORANGE, RED, new_figure, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_learning_curves(history: Sequence[EpochRecord], title: str) -> Figure:
    """Two panels, loss and accuracy, over the epochs."""
    figure = new_figure(10, 4)
    finding = overfitting(history)
    loss, accuracy = figure.subplots(1, 2)
    _draw_panel(loss, history, "loss", "loss (nats per sample)")
    _draw_panel(accuracy, history, "accuracy", "accuracy")
    for axes in (loss, accuracy):
        _mark(axes, finding, last_epoch=history[-1].epoch)
    loss.legend(framealpha=0.9, edgecolor="none", fontsize=9)
    figure.suptitle(f"{title}\n{_in_words(finding)}", fontsize=11, x=0.01, ha="left")
    return figure


def _draw_panel(axes: Axes, history: Sequence[EpochRecord], name: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history]
    marker = "o" if len(epochs) <= 30 else None
    for split, color in (("train", BLUE), ("validation", ORANGE)):
        values = [getattr(record, f"{split}_{name}") for record in history]
        if any(value is not None for value in values):
            shown = [float("nan") if value is None else value for value in values]
            axes.plot(epochs, shown, color=color, marker=marker, markersize=4, linewidth=1.8, label=_LABELS[split])
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_axes(axes)


_LABELS = {"train": "training, while it was trained", "validation": "validation"}


def _mark(axes: Axes, finding: Overfitting | None, last_epoch: int) -> None:
    if finding is None:
        return
    axes.axvline(
        finding.least_epoch, color=GREY, linestyle="--", linewidth=1.2,
        label=f"least validation loss, epoch {finding.least_epoch}",
    )  # fmt: skip
    if finding.begins is not None:
        axes.axvspan(
            finding.least_epoch, last_epoch, color=RED, alpha=0.08, linewidth=0,
            label=f"overfitting, from epoch {finding.begins}",
        )  # fmt: skip


def _in_words(finding: Overfitting | None) -> str:
    if finding is None:
        return "no validation data: nothing can be said of overfitting"
    least = f"validation loss was least in epoch {finding.least_epoch}"
    if finding.begins is None:
        return f"{least}; no overfitting seen"
    return f"{least}; overfitting begins in epoch {finding.begins} (validation loss ends {finding.rise:.0%} higher)"
