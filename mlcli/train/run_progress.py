"""A run in progress: what is known of it so far, which becomes its record however the run ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlcli import __version__
from mlcli.experiment.environment import peak_memory_bytes
from mlcli.experiment.plan import Plan
from mlcli.records import EpochRecord, Metrics, RunRecord, RunStatus, Timing
from mlcli.runs.checkpoint import Checkpoint, Position, RunSoFar
from mlcli.runs.formats import MAX_NOTE_CHARACTERS
from mlcli.timing import Stopwatch

_PARTS = ("load", "build", "first_epoch", "remaining_epochs", "validate", "evaluate")


@dataclass
class RunProgress:
    """Times, history, metrics, digests and notes of a run, collected while it is trained."""

    plan: Plan
    threads: int
    watch: Stopwatch = field(default_factory=Stopwatch)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    device: str = ""
    position: Position = field(default_factory=Position)  # history, metrics, best epoch; as of the last whole epoch
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
            f"epoch {record.epoch}: training loss {record.train_loss}, {record.seconds:.3f} s"
            for record in self.position.history
        ]

    def record(self, run_id: str, status: RunStatus, error: str | None = None) -> RunRecord:
        """Return the record of a run that ends now."""
        plan, config, position = self.plan, self.plan.config, self.position
        seconds = {f"{part}_seconds": self.watch.seconds(part) for part in _PARTS}
        return RunRecord(
            run_id=run_id,
            name=config.name or "",
            status=status,
            backend=plan.backend,
            dataset=config.dataset.name,
            model=config.model.name,
            seed=config.seed,
            metrics={**position.metrics, **({"test": self.test} if self.test else {})},
            timing=Timing(total_seconds=self.watch.total_seconds, **seconds),
            epochs=len(position.history) if plan.is_iterative else None,
            best_epoch=position.best_epoch,
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
        )


def _steady_rate(history: tuple[EpochRecord, ...]) -> float | None:
    """Return samples per second over the epochs after the first, which includes warm-up; None without epochs."""
    steady = history[1:] or history
    seconds = sum(record.seconds for record in steady)
    n_samples = sum(record.samples_per_second * record.seconds for record in steady)
    return n_samples / seconds if seconds else None
