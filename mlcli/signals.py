"""Signals that end the program: raised where it is, or kept until what must not break off is over.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed) are treated alike. A second one ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from mlcli.errors import ExitCode

PATIENCE_SECONDS = 3.0  # for which a signal is kept at the most
# A Ctrl-C reaches every process of a terminal, and the program that started this one may send its own signal on top.
_ECHO_SECONDS = 0.5
_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP, the terminal was closed"}


class Interrupted(BaseException):
    """The program was told to stop."""

    def __init__(self, signal_number: int) -> None:
        self.exit_code = ExitCode(128 + signal_number)
        super().__init__(f"stopped by {_NAMES[signal.Signals(signal_number).name]}")


class _Signals:
    """What has arrived so far; one for the process, since signals are the process's."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.first_seconds = 0.0
        self.n_deferring = 0
        self.n_shielding = 0

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is not None:
            if now - self.first_seconds > _ECHO_SECONDS:
                _end_at_once(number)
            return
        self.first, self.first_seconds = number, now
        if not self.n_deferring and not self.n_shielding:
            raise Interrupted(number)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self.on_alarm)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)

    def on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self.n_deferring and not self.n_shielding:
            check()


_signals = _Signals()


def install() -> None:
    """Handle the signals from here on; those that the process was started to ignore (nohup) stay ignored."""
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _signals.on_signal)


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a signal waits for `check`, for PATIENCE_SECONDS at the most; one that came late is raised at the end."""
    _signals.n_deferring += 1
    try:
        check()
        yield
        check()
    finally:
        _signals.n_deferring -= 1


@contextmanager
def shielded() -> Iterator[None]:
    """Inside, nothing is broken off, however long it takes; what waits then is raised by the next `check`."""
    _signals.n_shielding += 1
    try:
        yield
    finally:
        _signals.n_shielding -= 1


def is_pending() -> bool:
    """Whether the program was told to stop."""
    return _signals.first is not None


def check() -> None:
    """Raise Interrupted where the program was told to stop."""
    if _signals.first is not None:
        raise Interrupted(_signals.first)


def _end_at_once(number: int) -> NoReturn:
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(128 + number)
