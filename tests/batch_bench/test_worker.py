"""A worker process that measures an engine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mlcli.batch_bench import worker
from mlcli.batch_bench.records import MeasurementRequest, WorkerSpec
from mlcli.batch_bench.worker import Worker
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ConfigError, MlcliError, UsageError
from mlcli.experiment.plan import make_plan

IRIS = {"backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}}
REQUEST = MeasurementRequest("forward", 10, seconds=0.01, max_samples=None, warmup_seconds=0.01)


def started(settings, environment=None, **changes):
    plan = make_plan(ExperimentConfig.model_validate(settings))
    return Worker(WorkerSpec(plan=plan, run=None, threads=1, **changes), environment or {})


@pytest.fixture(scope="module")
def iris():
    with started(IRIS) as worker:
        hello = worker.hello()
        assert (hello.engine.n_samples, hello.engine.device) == (120, "cpu")
        yield worker


def test_a_worker_measures_what_it_is_asked_for(iris):
    first, second = iris.measure(REQUEST), iris.measure(REQUEST)
    assert first.first_call_seconds > 0
    assert second.first_call_seconds is None
    for result in (first, second):
        assert all(0 < seconds < 1 for seconds in result.samples)
        assert len(result.probes) == len(result.samples)
        assert all(seconds > 0 for seconds in result.probes)
        assert result.out_of_memory is None
    assert first.loss == pytest.approx(1.0986, abs=1e-4)  # ln 3: the weights of the logistic regression start at zero
    assert all(seconds > 0 for seconds in iris.matrix_products().values())
    assert iris.cpu_seconds() > 0


def test_a_worker_that_the_system_kills_is_a_size_without_memory_and_the_next_one_is_measured(iris):
    os.kill(iris._process.pid, signal.SIGKILL)
    iris._process.join()
    assert "SIGKILL" in iris.measure(REQUEST).out_of_memory
    assert iris.measure(REQUEST).samples


def test_a_worker_that_does_not_respond_is_an_error(iris, monkeypatch):
    monkeypatch.setattr(worker, "_HANG_SECONDS", 0.2)
    os.kill(iris._process.pid, signal.SIGSTOP)
    with pytest.raises(MlcliError, match="does not respond"):
        iris.measure(REQUEST)
    os.kill(iris._process.pid, signal.SIGCONT)
    assert iris._receive().samples  # as the next test starts with no answer pending


def test_any_other_end_is_an_error(iris):
    os.kill(iris._process.pid, signal.SIGTERM)
    iris._process.join()
    with pytest.raises(MlcliError, match="ended with code -15"):
        iris.measure(REQUEST)


def test_an_error_of_the_engine_in_the_worker_is_raised_here():
    with started(IRIS | {"runtime": {"device": "mps"}}) as worker, pytest.raises(UsageError, match="mps"):
        worker.hello()


def test_output_of_a_framework_is_not_read_as_an_answer(capfd):
    """A verbose forest prints to stdout, which must not be mistaken for an answer."""
    parameters = {"n_estimators": 2, "verbose": 2}
    forest = {"name": "estimator", "estimator": "RandomForestClassifier", "parameters": parameters}
    with started(IRIS | {"model": forest}) as worker:
        assert worker.hello().engine.notes == ("fitted on 120 samples before the measurement",)
        assert worker.measure(REQUEST).samples
        assert worker._last_line()
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_framework_arrives_with_its_message_and_traceback():
    parameters = {"n_neighbors": 500}
    broken = {"name": "estimator", "estimator": "KNeighborsClassifier", "parameters": parameters}
    with started(IRIS | {"model": broken}) as worker:
        worker.hello()
        with pytest.raises(MlcliError, match="sklearn: ValueError: Expected n_neighbors") as raised:
            worker.measure(REQUEST)
    assert "kneighbors" in str(raised.value.__cause__)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_environment_is_that_of_the_worker_alone():
    with started(IRIS, {"OMP_NUM_THREADS": "3"}) as worker:
        assert os.environ.get("OMP_NUM_THREADS") != "3"
        worker.hello()
        with open(f"/proc/{worker._process.pid}/environ", "rb") as file:
            assert b"OMP_NUM_THREADS=3" in file.read().split(b"\0")


def test_a_worker_never_receives_the_interrupts_of_the_terminal():
    with started(IRIS) as worker:
        os.kill(worker._process.pid, signal.SIGINT)  # while it starts
        worker.hello()
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


PROGRAM = """if True:
    import os, signal
    from mlcli.batch_bench.records import WorkerSpec
    from mlcli.batch_bench.worker import Worker, multiprocessing
    from mlcli.config.schema import ExperimentConfig
    from mlcli.experiment.plan import make_plan

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
    settings = {"backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}}
    spec = WorkerSpec(make_plan(ExperimentConfig.model_validate(settings)), None, 1)
"""


def test_a_worker_ends_with_the_process_that_started_it():
    process = ran(
        """
    worker = Worker(spec, {})
    worker.hello()
    print(worker._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert has_ended(int(process.stdout))


def test_an_interrupt_while_a_worker_starts_is_not_lost_and_ends_both():
    process = ran(
        """
    kind = multiprocessing.get_context("spawn").Process
    start = kind.start

    def start_and_interrupt(process):
        start(process)
        print(process.pid, flush=True)
        signal.raise_signal(signal.SIGINT)  # unlike os.kill, not delivered later, by another thread

    kind.start = start_and_interrupt
    Worker(spec, {})
    print("not interrupted")
    """
    )
    assert "KeyboardInterrupt" in process.stderr
    assert has_ended(int(process.stdout))


def ran(code):
    command = [sys.executable, "-c", PROGRAM + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def has_ended(pid):
    """Return whether a process ends within 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("error", [UsageError("a\nb"), ConfigError(["x.yaml:1:1: a", "x.yaml:2:1: b"])])
def test_the_errors_of_mlcli_can_be_sent_through_a_pipe(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert getattr(copy, "issues", None) == getattr(error, "issues", None)
