"""The thread count for all libraries, and the wait policy of idle threads."""

from __future__ import annotations

import os

import pytest

from mlcli.errors import UsageError
from mlcli.experiment import threads


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in (*threads._VARIABLES, "OPENBLAS_THREAD_TIMEOUT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def load(monkeypatch, value):
    monkeypatch.setattr(os, "getloadavg", lambda: (value, 0.0, 0.0))


def test_every_library_gets_the_same_thread_count(monkeypatch):
    load(monkeypatch, 0.0)
    threads.set_thread_environment(3)
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}


def test_idle_threads_spin_on_an_idle_machine_and_sleep_on_a_busy_one(monkeypatch):
    load(monkeypatch, 0.1)
    threads.set_thread_environment(2)
    assert "OMP_WAIT_POLICY" not in os.environ
    load(monkeypatch, os.cpu_count() + 1.0)
    threads.set_thread_environment(2)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"


def test_the_wait_policy_of_the_user_is_kept(monkeypatch):
    load(monkeypatch, os.cpu_count() + 1.0)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    threads.set_thread_environment(2)
    assert os.environ["OMP_WAIT_POLICY"] == "active"


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("200000 100000", 2), ("50000 100000", 1), ("", None)]
)
def test_a_container_quota_counts_in_whole_cores(text, cores, tmp_path):
    (tmp_path / "cpu.max").write_text(text)
    assert threads._quota(tmp_path / "cpu.max") == cores
    assert threads._quota(tmp_path / "absent") is None


def test_the_cores_of_a_slurm_task_are_the_default(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert threads.available_cores() == 1
    assert threads.threads_origin(None) == "SLURM_CPUS_PER_TASK"
    assert threads.threads_origin(3) == "runtime.threads"


@pytest.mark.parametrize("text", ["", "0", "-2", "two", "²", "1000000"])
def test_other_values_of_slurm_do_not_count(monkeypatch, text):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    expected = threads.available_cores()
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert threads.available_cores() == expected
    assert threads.threads_origin(None) != "SLURM_CPUS_PER_TASK"


def test_there_is_at_least_one_core():
    assert 1 <= threads.available_cores() <= os.cpu_count()


@pytest.mark.parametrize("count", [0, -1, 2_000_000_000])
def test_a_thread_count_at_which_openmp_would_crash_is_refused(count):
    with pytest.raises(UsageError, match=f"--threads {count}: must be between 1 and 1024"):
        threads.configure_threads(None, count)


def test_the_flag_wins_over_the_configuration_and_is_set_for_the_libraries(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    assert threads.configure_threads(3, 2) == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"
