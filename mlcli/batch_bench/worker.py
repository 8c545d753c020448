"""The process in which one engine is measured: what it is asked, what it answers, and both sides of the pipe.

Requests and answers are pickled dataclasses. Whatever a framework prints in the worker goes to a log.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.batch_bench.records import MeasurementRequest, MeasurementResult, WorkerHello, WorkerSpec
from mlcli.errors import MlcliError, batch_advice, translated_memory_errors

if TYPE_CHECKING:
    from mlcli.batch_bench.measurement import MeasuredEngine

_KILLED = "the system killed the process (SIGKILL), as it does when memory runs out"
_HANG_SECONDS = 300.0  # without an answer and without any processor time used


@dataclass(frozen=True)
class _Failure:
    error: MlcliError
    traceback: str


class Worker(AbstractContextManager["Worker"]):
    """The parent's side of a worker; the process is started anew where the system has killed it."""

    def __init__(self, spec: WorkerSpec, environment: Mapping[str, str]) -> None:
        """environment: variables that the process gets on top of those of this one, before any library loads."""
        self.spec = spec
        self._name = spec.plan.backend
        self.environment = environment
        self._start()

    def _start(self) -> None:
        self.started = time.perf_counter()
        self._log = tempfile.NamedTemporaryFile(prefix="mlcli-worker-", delete=False)  # noqa: SIM115
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.spec, self._log.name))
        atexit.register(self.close)  # should an interrupt arrive before anybody else can close it
        with _set_environment(self.environment), _blocked_interrupts():
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the process, which keeps nothing that is worth waiting for."""
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()
        self._connection.close()
        self._log.close()
        Path(self._log.name).unlink(missing_ok=True)
        atexit.unregister(self.close)

    def hello(self) -> WorkerHello:
        """Wait until the worker is ready. Raises the errors of errors.py if the engine cannot be built."""
        answer = self._receive()
        if answer is None:
            raise MlcliError(f"{self._name}: the worker process ended before it was ready{self._last_line()}")
        assert isinstance(answer, WorkerHello)
        return answer

    def measure(self, request: MeasurementRequest) -> MeasurementResult:
        """Return new samples; a result without memory if the system killed the process.

        Raises MlcliError if the framework fails, and if the process ends otherwise or does not respond.
        """
        self._send(request)
        answer = self._receive()
        if answer is None:
            self._restart()
            return MeasurementResult(out_of_memory=_KILLED)
        assert isinstance(answer, MeasurementResult)
        return answer

    def matrix_products(self) -> dict[int, float]:
        """Return the seconds of one n x n matrix product for a few n that are large enough to reach peak speed."""
        self._send(None)
        answer: dict[int, float] | None = self._receive()
        if answer is None:
            raise MlcliError(f"{self._name}: the worker process ended during a matrix product{self._last_line()}")
        return answer

    def cpu_seconds(self) -> float:
        """Return the processor time that the process and its children have used."""
        import psutil

        process = psutil.Process(self._process.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def _restart(self) -> None:
        """Start again after a kill for lack of memory; any other end is an error."""
        self._process.join()
        if self._process.exitcode != -signal.SIGKILL:
            code = self._process.exitcode
            raise MlcliError(f"{self._name}: the worker process ended with code {code}{self._last_line()}")
        self.close()
        self._start()
        self.hello()

    def _send(self, request: MeasurementRequest | None) -> None:
        with suppress(OSError):  # it has ended; the reason is in its last answer or its exit code
            self._connection.send(request)

    def _receive(self) -> Any:
        """Return the next answer; None where the worker ended without one."""
        self._wait()
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, _Failure):
            raise answer.error from RuntimeError(f"in the worker process:\n{answer.traceback}")
        return answer

    def _wait(self) -> None:
        used = -1.0
        while not self._connection.poll(_HANG_SECONDS):
            before, used = used, self.cpu_seconds()
            if used == before:
                raise MlcliError(
                    f"{self._name}: the worker process does not respond (no processor time used for "
                    f"{_HANG_SECONDS:g} s)\nrerun, or measure without this engine"
                )

    def _last_line(self) -> str:
        """Return the last line that the worker printed, on a line of its own; empty if it printed nothing."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"\n{lines[-1].strip()}" if lines else ""


@contextmanager
def _set_environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block Ctrl-C: a process started inside never receives it, this one receives it at the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # would unblock the signal when it is started later
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _serve(connection: Connection, spec: WorkerSpec, log: str) -> None:
    """Answer requests inside the worker until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _redirect_output(log)
    try:
        engine = _prepare(spec)
        connection.send(engine.hello(spec))
        for request in _requests(connection):
            connection.send(engine.matrix_products() if request is None else engine.measure(request))
    except MlcliError as error:
        connection.send(_Failure(error, traceback.format_exc()))
    except Exception as error:
        failure = MlcliError(f"{spec.plan.backend}: {type(error).__name__}: {error}")
        connection.send(_Failure(failure, traceback.format_exc()))


def _requests(connection: Connection) -> Iterator[MeasurementRequest | None]:
    try:
        while True:
            yield connection.recv()
    except EOFError:
        return


def _redirect_output(log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    with suppress(OSError):  # Windows keeps open files
        os.unlink(log)  # now, so that nothing is left if both processes are killed
    for stream in (1, 2):
        os.dup2(file, stream)


def _prepare(spec: WorkerSpec) -> MeasuredEngine:
    from mlcli.batch_bench.machine import limit_to_available_memory
    from mlcli.batch_bench.measurement import MeasuredEngine, prepare

    with translated_memory_errors(batch_advice(None)):
        prepared = prepare(spec)
    if prepared.bench.device == "cpu":
        limit_to_available_memory()
    # What exists now stays: the collector need not search it before every measurement.
    gc.collect()
    gc.freeze()
    gc.disable()
    return MeasuredEngine(prepared)
