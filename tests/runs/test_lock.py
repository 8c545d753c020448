"""A run directory has one writer at a time."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from mlcli.errors import MlcliError
from mlcli.runs.lock import RunLock

HOLDER = """
import sys, time
from pathlib import Path
from mlcli.runs.lock import RunLock
hold = RunLock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_and_the_first_named(tmp_path, other_process):
    with pytest.raises(MlcliError, match=re.escape(f"held by process {other_process.pid} on ")):
        RunLock.acquire(tmp_path)
    with pytest.raises(MlcliError, match=str(other_process.pid)):
        RunLock.acquire(tmp_path)


def test_a_killed_process_holds_nothing(tmp_path, other_process):
    other_process.kill()
    other_process.wait()
    hold = RunLock.acquire(tmp_path)
    hold.release()
    assert os.listdir(tmp_path) == []


def test_what_is_released_can_be_taken_again(tmp_path):
    for _ in range(2):
        RunLock.acquire(tmp_path).release()
