"""Signal handling: SIGINT, SIGTERM and SIGHUP stop the program, immediately or deferred past critical sections.

SIGINT is Ctrl-C, SIGHUP a terminal that was closed. A second signal ends the process at once. SIGUSR1 and SIGUSR2,
which schedulers send before they stop a job, ask a training for a checkpoint and stop nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlcli.errors import ExitCode

PATIENCE_SECONDS = 3.0  # the longest time that a signal is deferred
# Ctrl-C reaches every process of a terminal, and the program that started this one may send a signal on top: one stop.
_ECHO_SECONDS = 0.5
_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP, the terminal was closed"}


class Interrupted(BaseException):
    """A signal stopped the program. exit_code: 128 + the number of the signal."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = ExitCode(128 + signal_number)
        super().__init__(f"stopped by {_NAMES[signal.Signals(signal_number).name]}")


class _Signals:
    """The first signal that has arrived, and how many critical sections are active. There is one per process."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.first_seconds = 0.0
        self.n_deferring = 0
        self.n_shielding = 0
        self.is_checkpoint_requested = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is not None:
            if now - self.first_seconds <= _ECHO_SECONDS:
                return
            if sys.stderr is not None and sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
            os._exit(128 + number)
        self.first, self.first_seconds = number, now
        if not self.n_deferring and not self.n_shielding:
            raise Interrupted(number)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self.on_alarm)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)

    def on_checkpoint_request(self, number: int, frame: FrameType | None) -> None:
        self.is_checkpoint_requested = True

    def on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self.n_deferring and not self.n_shielding:
            check()


_signals = _Signals()


def install() -> None:
    """Handle the signals from now on; those that the process was started to ignore, as by nohup, stay ignored."""
    handlers = dict.fromkeys(_NAMES, _signals.on_signal)
    handlers |= dict.fromkeys(("SIGUSR1", "SIGUSR2"), _signals.on_checkpoint_request)
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals inside until the next `check`, the end, or PATIENCE_SECONDS after the signal."""
    _signals.n_deferring += 1
    try:
        check()
        yield
        check()
    finally:
        _signals.n_deferring -= 1


@contextmanager
def shielded() -> Iterator[None]:
    """Never interrupt the code inside, however long it takes; the next `check` raises what has arrived."""
    _signals.n_shielding += 1
    try:
        yield
    finally:
        _signals.n_shielding -= 1


def is_pending() -> bool:
    """Return whether a signal has arrived."""
    return _signals.first is not None


def take_checkpoint_request() -> bool:
    """Return whether SIGUSR1 or SIGUSR2 has arrived since the last call."""
    was_requested, _signals.is_checkpoint_requested = _signals.is_checkpoint_requested, False
    return was_requested


def check() -> None:
    """Raise Interrupted if a signal has arrived."""
    if _signals.first is not None:
        raise Interrupted(_signals.first)
