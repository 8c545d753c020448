"""The speed probe next to each sample, with a clock that is written down, and the background load."""

from __future__ import annotations

import pytest

from mlcli.batch_bench.speed_probe import BackgroundLoad, SpeedProbe


class Machine:
    """Its clock advances when the probe runs, by the next of the given seconds, the last one repeated."""

    def __init__(self, *seconds):
        self.now, self.n_calls = 0.0, 0
        self._seconds = list(seconds)

    def work(self):
        self.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self.n_calls += 1


def started_probe(machine):
    probe = SpeedProbe(machine.work, lambda: machine.now)
    probe.begin()
    return probe


@pytest.mark.parametrize(
    ("before", "after"), [([1e-4] * 4, [2e-4] * 4), ([2e-4] * 4, [1e-4] * 4)], ids=["slow after", "slow before"]
)
def test_the_slower_side_of_a_sample_counts(before, after):
    assert started_probe(Machine(*before, *after)).end() == pytest.approx(2e-4)


def test_the_probe_after_a_sample_is_the_one_before_the_next():
    machine = Machine(*[1e-4] * 8, *[3e-4] * 4, 1e-4)
    probe = started_probe(machine)
    assert [probe.end() for _ in range(4)] == pytest.approx([1e-4, 3e-4, 3e-4, 1e-4])
    assert machine.n_calls == 4 * 5


def test_a_cold_cache_is_no_disturbance():
    assert started_probe(Machine(9e-4, 1e-4, 1e-4, 1e-4)).end() == pytest.approx(1e-4)


def test_a_slow_probe_is_not_repeated():
    machine = Machine(0.06)
    assert started_probe(machine).end() == pytest.approx(0.06)
    assert machine.n_calls == 2


def test_the_background_load_excludes_the_processes_that_are_measured(monkeypatch):
    class Times(tuple):
        idle = property(lambda self: self[1])

    now, used = [0.0], [0.0]
    monkeypatch.setattr("psutil.cpu_times", lambda: Times((3 * now[0], 100.0 - 3 * now[0])))
    monkeypatch.setattr("mlcli.batch_bench.speed_probe.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("mlcli.batch_bench.speed_probe.os.times", lambda: type("T", (), {"user": 0.0, "system": 0.0}))
    load = BackgroundLoad([lambda: used[0]])
    now[0], used[0] = 2.0, 2.0
    assert load.busy_cores() == pytest.approx(2.0)  # three cores busy, one of them by the measured process
