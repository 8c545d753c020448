"""The handling of signals in a real process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.fixtures.processes import start as start_process

FRAME = """
import os, signal, sys, time
from mlcli import signals
signals.PATIENCE_SECONDS = 0.3
signals._ECHO_SECONDS = 0.2
signals.install()

def log(text):
    print(text, flush=True)

def wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.005)

try:
    {body}
except signals.Interrupted as error:
    log(f"{{error}}, code {{int(error.exit_code)}}")
    {after}
"""


def start(body, after="pass", **options):
    code = FRAME.format(body=body.replace("\n", "\n    "), after=after)
    process = start_process([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **options)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_raised_at_once(number, code):
    process = start("log('ready')\nwait(30)\nlog('not reached')")
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert output.endswith(f"code {code}\n")
    assert "not reached" not in output


def test_a_deferred_signal_waits_for_the_check():
    body = "with signals.deferred():\n    log('ready')\n    wait(0.2)\n    log('whole')\n    signals.check()"
    process = start(body)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "whole\nstopped by SIGTERM, code 143\n"


def test_a_deferred_signal_after_the_last_check_is_raised_at_the_end():
    process = start("with signals.deferred():\n    log('ready')\n    wait(0.2)\n    log('whole')\nlog('not reached')")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "whole\nstopped by SIGTERM, code 143\n"


def test_a_deferred_signal_is_raised_when_the_patience_is_over():
    process = start("with signals.deferred():\n    log('ready')\n    wait(30)\n    log('not reached')")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "stopped by SIGTERM, code 143\n"


def test_shielded_code_is_never_interrupted():
    body = (
        "with signals.deferred():\n"
        "    with signals.shielded():\n"
        "        log('ready')\n        wait(1)\n        log('whole')"
    )
    process = start(body)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "whole\nstopped by SIGTERM, code 143\n"


def test_a_second_signal_ends_the_process_at_once():
    process = start("with signals.shielded():\n    log('ready')\n    wait(1)\n    log('first')\n    wait(60)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130


def test_a_signal_that_arrives_twice_within_the_echo_time_counts_once():
    process = start("log('ready')\nwait(30)", after="wait(1); log('cleaned up')")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "stopped by Ctrl-C, code 130\ncleaned up\n"


def test_a_signal_that_was_swallowed_is_raised_by_the_next_check():
    body = "log('ready')\ntry:\n    wait(30)\nexcept BaseException:\n    pass\nsignals.check()\nlog('not reached')"
    process = start(body)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "stopped by SIGTERM, code 143\n"


def test_a_signal_that_python_discarded_is_raised_again():
    body = (
        "class Gone:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "log('ready')\nGone()\nwait(30)\nlog('not reached')"
    )
    assert start(body).communicate(timeout=20)[0] == "stopped by SIGTERM, code 143\n"


def test_signals_ignored_under_nohup_stay_ignored():
    process = start(
        "log('ready')\nwait(0.5)\nlog('continued')", setup=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=20)[0] == "continued\n"
