"""The plan shown by `--dry-run`, and the progress of training."""

from __future__ import annotations

import io
import re

from rich.console import Console

from mlcli.config.schema import ExperimentConfig
from mlcli.experiment.plan import make_plan
from mlcli.records import EpochProgress, EpochRecord
from mlcli.train.report import BarProgress, LineProgress, QuietProgress, describe_plan


def described(**settings):
    return describe_plan(make_plan(ExperimentConfig.model_validate(settings)), 1)


def test_iterative_training_is_described_by_its_epochs_and_steps():
    settings = described(backend="torch", training={"epochs": 3, "batch_size": 100})
    assert (settings["epochs"], settings["batch_size"]) == (3, 100)
    assert (settings["steps_per_epoch"], settings["last_batch_size"]) == (15, 38)  # of the 1438 training samples
    assert settings["max_steps"] == 45
    assert settings["learning_rate"] == 0.001


def test_a_single_fit_is_described_without_epochs():
    settings = described(backend="sklearn", model={"name": "logistic"})
    assert settings["fitted"] == "in a single fit"
    assert "epochs" not in settings


FIRST = EpochRecord(1, 0.1, 0.5, 0.8, 0.6, 0.7, 2.0, 1234.0, True)
SECOND = EpochRecord(2, 0.1, 0.4, 0.9, 0.7, 0.7, 1.0, 2468.0, False)
SINGLE_FIT = EpochRecord(1, None, None, 0.95, None, None, 0.5, None, False)


def printed(kind, records, **options):
    console = Console(file=io.StringIO(), width=200, **options)
    with kind(console) as progress:
        progress.on_stage("loading digits")
        for record in records:
            progress.on_epoch(record, 2)
        progress.on_note("a note")
    return console.file.getvalue()


def test_a_pipe_gets_one_line_per_epoch():
    assert printed(LineProgress, [FIRST, SECOND]).splitlines() == [
        "epoch 1/2  running loss 0.5000  running accuracy 0.8000  validation loss 0.6000  "
        "validation accuracy 0.7000  2.00 s  1,234 samples/s  best",
        "epoch 2/2  running loss 0.4000  running accuracy 0.9000  validation loss 0.7000  "
        "validation accuracy 0.7000  1.00 s  2,468 samples/s",
        "note: a note",
    ]


def test_a_single_fit_has_no_epoch_and_a_missing_loss_is_omitted():
    (line, _) = printed(LineProgress, [SINGLE_FIT]).splitlines()
    assert line == "fitted  train accuracy 0.9500  0.50 s"


def test_a_terminal_gets_a_table_that_grows():
    text = printed(BarProgress, [FIRST, SECOND], force_terminal=True, color_system=None)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert any(row.endswith("epoch run. loss run. acc. val. loss val. acc. seconds samples/s") for row in rows)
    assert any(row.endswith("1 0.5000 0.8000 0.6000 0.7000 2.00 1,234 best") for row in rows)
    assert any(row.endswith("2 0.4000 0.9000 0.7000 0.7000 1.00 2,468") for row in rows)


def test_a_terminal_shows_step_loss_and_time_left_within_an_epoch():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with BarProgress(console) as progress:
        progress.on_stage("training mlp")
        for step in (1, 9, 73, 212):
            progress.on_steps(EpochProgress(1, 8, step, 469, 0.41))
    text = console.file.getvalue()
    assert re.search(r"epoch 1/8  step 212/469  loss 0\.4100  \d:\d\d:\d\d left ", text), text


def test_the_time_left_counts_all_epochs_but_not_the_first_steps(monkeypatch):
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    clock = iter(range(0, 1000, 10))
    progress = BarProgress(console)
    monkeypatch.setattr(progress._progress, "get_time", lambda: next(clock))
    progress.on_steps(EpochProgress(3, 4, 100, 100, 0.5))  # after two epochs before it was resumed
    for step in (20, 40, 60):
        progress.on_steps(EpochProgress(4, 4, step, 100, 0.5))
    (task,) = progress._progress.tasks
    assert task.time_remaining == 20  # 40 steps, at 20 steps in 10 seconds


def test_quiet_progress_prints_notes_only():
    assert printed(QuietProgress, [FIRST, SECOND]) == "note: a note\n"
