"""What wants to be told while a run goes on; workflows themselves print nothing."""

from __future__ import annotations

from typing import Protocol

from mlcli.records import EpochRecord


class TrainingObserver(Protocol):
    """Told of every stage, epoch and note as they come."""

    def on_stage(self, text: str) -> None:
        """A stage begins, e.g. "loading fashion"."""
        ...

    def on_slow_step(self, text: str) -> None:
        """Something takes its time, e.g. a download."""
        ...

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        """An epoch, its validation included, is over."""
        ...

    def on_note(self, text: str) -> None:
        """Something the reader of the result must know."""
        ...
