"""The background load of other processes, and the peak memory of this process."""

from __future__ import annotations

import sys

import pytest

from mlcli.batch_bench.machine import BackgroundLoad, start_memory_watch
from mlcli.experiment.environment import peak_memory_bytes


def test_the_background_load_excludes_the_processes_that_are_measured(monkeypatch):
    class Times(tuple):
        idle = property(lambda self: self[1])

    now, used = [0.0], [0.0]
    monkeypatch.setattr("psutil.cpu_times", lambda: Times((3 * now[0], 100.0 - 3 * now[0])))
    monkeypatch.setattr("mlcli.batch_bench.machine.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("mlcli.batch_bench.machine.os.times", lambda: type("T", (), {"user": 0.0, "system": 0.0}))
    load = BackgroundLoad([lambda: used[0]])
    now[0], used[0] = 2.0, 2.0
    assert load.busy_cores() == pytest.approx(2.0)  # three cores busy, one of them by the measured process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_watch_sees_the_peak_and_forgets_an_earlier_one():
    if not start_memory_watch():
        pytest.skip("the system does not let a process reset its peak")
    before = peak_memory_bytes()
    block = bytearray(100 * 2**20)
    block[:: 2**12] = b"x" * len(block[:: 2**12])
    peak = peak_memory_bytes()
    assert peak > before + 80 * 2**20
    del block
    start_memory_watch()
    assert peak_memory_bytes() < peak - 50 * 2**20
