"""One process at a time may write into a run directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from mlcli.errors import MlcliError
from mlcli.runs.lock import RunLock

OWNER = """
import sys, time
from pathlib import Path
from mlcli.runs.lock import RunLock
lock = RunLock.acquire(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_the_first_one_named(tmp_path, other_process):
    with pytest.raises(MlcliError, match=re.escape(f"locked by process {other_process.pid} on ")):
        RunLock.acquire(tmp_path)
    with pytest.raises(MlcliError, match=str(other_process.pid)):
        RunLock.acquire(tmp_path)


def test_the_lock_of_a_killed_process_is_free(tmp_path, other_process):
    other_process.kill()
    other_process.wait()
    lock = RunLock.acquire(tmp_path)
    lock.release()
    assert os.listdir(tmp_path) == []


def test_a_released_lock_can_be_acquired_again(tmp_path):
    for _ in range(2):
        RunLock.acquire(tmp_path).release()


def test_an_owner_file_that_is_a_pipe_does_not_block(tmp_path, other_process):
    (tmp_path / ".holder.json").unlink()
    os.mkfifo(tmp_path / ".holder.json")
    with pytest.raises(MlcliError, match="locked by another process"):
        RunLock.acquire(tmp_path)
