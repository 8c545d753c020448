"""A run in progress: what is known of it so far, which becomes its record however the run ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

from mlcli import __version__
from mlcli.experiment.environment import peak_memory_bytes
from mlcli.experiment.plan import Plan
from mlcli.records import EpochRecord, Metrics, RunRecord, RunStatus, Timing
from mlcli.runs.checkpoint import Checkpoint, Position, RunSoFar
from mlcli.runs.formats import MAX_NOTE_CHARACTERS
from mlcli.timing import Stopwatch

_PARTS = ("load", "build", "first_epoch", "remaining_epochs", "validate", "score_train", "evaluate")


@dataclass
class RunProgress:
    """Times, history, metrics, digests and notes of a run, collected while it is trained."""

    plan: Plan
    threads: int
    watch: Stopwatch = field(default_factory=Stopwatch)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    device: str = ""
    position: Position = field(default_factory=Position)  # history, best epoch; as of the last whole epoch
    n_train_samples: int | None = None
    train: Metrics | None = None  # after training
    test: Metrics | None = None
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_note(self, text: str) -> bool:
        """Keep a note and return whether it is new."""
        text = text[:MAX_NOTE_CHARACTERS]
        if text in self.notes:
            return False
        self.notes.append(text)
        return True

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from what earlier processes have recorded in a checkpoint."""
        run = checkpoint.run
        self.created = run.created
        self.watch.add_earlier(run.total_seconds, run.seconds)
        self.position = checkpoint.position
        self.notes = [*run.notes, *(note for note in self.notes if note not in run.notes)]
        self.digests = dict(run.digests) | self.digests

    def so_far(self) -> RunSoFar:
        """Return what a checkpoint stores of it."""
        seconds, notes = dict(self.watch.seconds_by_part), tuple(self.notes)
        return RunSoFar(self.created, seconds, self.watch.total_seconds, notes, dict(self.digests), self.device)

    def log_lines(self) -> list[str]:
        """Return the lines of log.txt: every note and every epoch."""
        return [f"note: {note}" for note in self.notes] + [
            f"epoch {record.epoch}: running training loss {record.train_loss}, {record.seconds:.3f} s"
            for record in self.position.history
        ]

    def record(self, run_id: str, status: RunStatus, error: str | None = None) -> RunRecord:
        """Return the record of a run that ends now."""
        plan, config, position = self.plan, self.plan.config, self.position
        validation = position.metrics.get("validation")
        metrics = {"train": self.train, "validation": validation, "test": self.test}
        seconds = {f"{part}_seconds": self.watch.seconds(part) for part in _PARTS}
        return RunRecord(
            run_id=run_id,
            name=config.name or "",
            status=status,
            backend=plan.backend,
            dataset=config.dataset.label,
            model=config.model.name,
            seed=config.seed,
            metrics={split: found for split, found in metrics.items() if found},
            timing=Timing(total_seconds=self.watch.total_seconds, **seconds),
            epochs=len(position.history) if plan.is_iterative else None,
            best_epoch=position.best_epoch if validation else None,
            samples_per_second=_steady_rate(position.history),
            n_parameters=plan.network.n_parameters if plan.network else None,
            device=self.device,
            threads=self.threads,
            peak_memory_bytes=peak_memory_bytes(),
            notes=tuple(self.notes),
            digests=self.digests,
            mlcli_version=__version__,
            created=self.created,
            error=error,
            kept_epoch=position.kept_epoch,
            n_train_samples=self.n_train_samples,
            median_epoch_seconds=median(later) if (later := epoch_seconds(position.history)[1:]) else None,
        )


def epoch_seconds(history: tuple[EpochRecord, ...]) -> list[float]:
    """Return the training time of each epoch; none for a single fit."""
    return [record.seconds for record in history if record.samples_per_second is not None]


def _steady_rate(history: tuple[EpochRecord, ...]) -> float | None:
    """Return samples per second over the epochs after the first, which includes warm-up; None without epochs."""
    steady = [(epoch.seconds, epoch.samples_per_second) for epoch in history[1:] or history if epoch.samples_per_second]
    seconds = sum(duration for duration, _ in steady)
    return sum(duration * rate for duration, rate in steady) / seconds if seconds else None
