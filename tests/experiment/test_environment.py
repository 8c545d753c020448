"""The environment of a run: the memory that its own program used."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mlcli.experiment.environment import peak_memory_bytes

HELD_BYTES = 2**30
# A program that has used much memory and then becomes mlcli: the same process, with another program in it.
PARENT = f"""
import os, sys
block = bytearray({HELD_BYTES})
block[::4096] = b"x" * len(block[::4096])
os.execv(sys.executable, [sys.executable, "-m", "mlcli", *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count the memory of the program before it")
def test_the_peak_memory_of_a_run_excludes_the_program_that_started_it(tmp_path):
    command = ("train", "--backend", "sklearn", "-d", "iris", "-m", "logistic", "--quiet", "--format", "json")
    arguments = [sys.executable, "-c", PARENT, *command]
    process = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 2**20 < json.loads(process.stdout)["peak_memory_bytes"] < HELD_BYTES


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_the_peak_memory_is_in_bytes_where_the_system_has_no_proc_directory(monkeypatch, platform, unit):
    monkeypatch.setattr("mlcli.experiment.environment.process_status_bytes", lambda name: None)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("resource.getrusage", lambda who: SimpleNamespace(ru_maxrss=300))
    assert peak_memory_bytes() == 300 * unit
