"""The parent's side of a process in which one engine is measured."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any, Self

import mlcli.errors
from mlcli.batch_bench.messages import Introduction, SubjectSpec, Visit, Visited
from mlcli.errors import MlcliError

_COMMAND = (sys.executable, "-m", "mlcli.batch_bench.worker")
_KILLED = "the system ended the process with SIGKILL, as it does when memory runs out"


@contextmanager
def _log_file() -> Iterator[IO[str]]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        yield file


class SubjectProcess:
    """Implements `Subject` by asking another process, which is started anew where the system has killed it."""

    def __init__(self, spec: SubjectSpec, name: str, environment: Mapping[str, str]) -> None:
        """name: for messages. environment: variables to set on top of this process's own."""
        self._spec = spec
        self._name = name
        self._environment = {**os.environ, **environment}
        self._start()

    def _start(self) -> None:
        self.started = time.perf_counter()
        self._files = ExitStack()
        self._log = self._files.enter_context(_log_file())
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, encoding="utf-8",
            env=self._environment,
        )  # fmt: skip
        self._send(asdict(self._spec))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; it is killed where it does not end by itself at once."""
        self._process.kill()
        self._process.communicate()
        self._files.close()

    def introduction(self) -> Introduction:
        """Wait until the process is ready. The errors of errors.py where the engine cannot be built."""
        answer = self._receive()
        if answer is None:
            raise MlcliError(f"the process for {self._name} ended before it was ready{self._last_words()}")
        return Introduction(**(answer | {"notes": tuple(answer["notes"])}))

    def visit(self, visit: Visit) -> Visited:
        self._send({"ask": "visit", "visit": asdict(visit)})
        answer = self._receive()
        if answer is None:
            self._restart()
            return Visited(out_of_memory=_KILLED)
        return Visited(**(answer | {name: tuple(answer[name]) for name in ("samples", "references")}))

    def products(self) -> dict[int, float]:
        self._send({"ask": "products"})
        answer = self._receive()
        if answer is None:
            raise MlcliError(f"the process for {self._name} ended while it multiplied matrices{self._last_words()}")
        return {int(n): seconds for n, seconds in answer["products"]}

    def cpu_seconds(self) -> float:
        """Processor time that the process and its children have used."""
        import psutil

        process = psutil.Process(self._process.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def _restart(self) -> None:
        """After a kill for want of memory; any other death is a fault."""
        code = self._process.wait()
        if code != -signal.SIGKILL:
            raise MlcliError(f"the process for {self._name} ended with code {code}{self._last_words()}")
        self.close()
        self._start()
        self.introduction()

    def _send(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and says why in its last answer

    def _receive(self) -> dict[str, Any] | None:
        """The next answer; None where the process has ended without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            return None
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._error(answer)
        return answer

    def _error(self, answer: dict[str, Any]) -> MlcliError:
        if not answer["ours"]:
            return MlcliError(f"{self._name}: {answer['error']}: {answer['message']}{self._last_words()}")
        kind = getattr(mlcli.errors, answer["error"])
        message = answer["message"]
        error: MlcliError = kind(message.splitlines()) if kind is mlcli.errors.ConfigError else kind(message)
        return error

    def _last_words(self) -> str:
        """The last line that the process wrote to stderr, if any."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return f"\n{lines[-1]}" if lines else ""
