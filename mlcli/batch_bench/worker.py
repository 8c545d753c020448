"""The process in which one engine is measured: `python -m mlcli.batch_bench.worker`.

It speaks JSON, one line a message: first the specification comes in and an introduction goes out, then for each
request an answer. It ends when its input does. Threads are told how to behave by the environment it is started with.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from dataclasses import asdict
from typing import IO, Any

from mlcli.batch_bench.messages import Subject, SubjectSpec, Visit
from mlcli.errors import MlcliError


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    answers = _keep_stdout_for_answers()
    try:
        subject = _prepare(SubjectSpec(**json.loads(sys.stdin.readline())))
        _answer(answers, asdict(subject.introduction()))
        for line in sys.stdin:
            _answer(answers, _serve(subject, json.loads(line)))
    except Exception as error:
        traceback.print_exc()
        _answer(answers, {"error": type(error).__name__, "message": str(error), "ours": isinstance(error, MlcliError)})


def _keep_stdout_for_answers() -> IO[str]:
    """Whatever a framework prints goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _prepare(spec: SubjectSpec) -> Subject:
    from mlcli.batch_bench.measurement import MeasuredEngine
    from mlcli.batch_bench.memory import limit_to_available_memory
    from mlcli.batch_bench.placement import place
    from mlcli.batch_bench.speed_probe import ThreadWaits
    from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
    from mlcli.experiment.threads import available_cores

    with translated_memory_errors(batch_advice(None)):
        placed = place(spec)
    if placed.bench.device == "cpu":
        limit_to_available_memory()
    # What exists now is here to stay: it need not be searched again before every visit.
    gc.collect()
    gc.freeze()
    gc.disable()
    return MeasuredEngine(placed, waits=ThreadWaits() if spec.threads <= available_cores() else None)


def _serve(subject: Subject, request: dict[str, Any]) -> dict[str, Any]:
    if request["ask"] == "visit":
        return asdict(subject.visit(Visit(**request["visit"])))
    return {"products": list(subject.products().items())}


def _answer(answers: IO[str], document: dict[str, Any]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
