"""What tells how fast the machine was meanwhile: with a clock that is written down, and with real threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlcli.batch_bench.speed_probe import NoWaits, Witness


class Machine:
    """Its clock moves when the reference is computed, by the next of the given seconds, the last for ever."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.waited, self.n_calls = 0.0, 0.0, 0
        self._seconds = list(seconds)

    def work(self) -> None:
        self.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self.n_calls += 1

    def look_for_threads(self) -> None:
        pass

    def seconds(self) -> float:
        return self.waited


def witness(machine: Machine) -> Witness:
    return Witness(machine.work, lambda: machine.now, machine)


@pytest.mark.parametrize(
    ("before", "after"), [([1e-4] * 4, [2e-4] * 4), ([2e-4] * 4, [1e-4] * 4)], ids=["slow after", "slow before"]
)
def test_the_slower_side_of_a_sample_counts(before, after):
    seen = witness(Machine(*before, *after))
    seen.begin()
    assert seen.end(0.01) == pytest.approx(2e-4)


def test_what_follows_a_sample_precedes_the_next_one():
    machine = Machine(*[1e-4] * 8, *[3e-4] * 4, 1e-4)
    seen = witness(machine)
    seen.begin()
    assert [seen.end(0.01) for _ in range(4)] == pytest.approx([1e-4, 3e-4, 3e-4, 1e-4])
    assert machine.n_calls == 4 * 5


def test_a_cold_cache_is_no_disturbance():
    seen = witness(Machine(9e-4, 1e-4, 1e-4, 1e-4))
    seen.begin()
    assert seen.end(0.01) == pytest.approx(1e-4)


def test_a_slow_reference_is_not_repeated():
    machine = Machine(0.06)
    seen = witness(machine)
    seen.begin()
    assert seen.end(0.01) == pytest.approx(0.06)
    assert machine.n_calls == 2


def test_a_core_that_others_had_lengthens_the_reference():
    machine = Machine(1e-4)
    seen = witness(machine)
    seen.begin()
    machine.waited += 0.005
    assert seen.end(0.01) == pytest.approx(1.5e-4)
    assert seen.end(0.01) == pytest.approx(1e-4)  # it waited once


def test_no_waits_are_no_disturbance():
    machine = Machine(1e-4)
    seen = Witness(machine.work, lambda: machine.now, NoWaits())
    seen.begin()
    assert seen.end(0.01) == pytest.approx(1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thread_that_shares_its_core_with_another_process_waits():
    """In a process of its own, because it keeps to one core."""
    code = """if True:
        import os, subprocess, sys, time
        from mlcli.batch_bench.speed_probe import ThreadWaits

        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        waits = ThreadWaits()
        waits.look_for_threads()
        before = waits.seconds()
        while time.process_time() < 0.5:
            pass
        other.kill()
        print(waits.seconds() - before)
    """
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(process.stdout) > 0.05  # about as long as it computes, less what the other takes to start
