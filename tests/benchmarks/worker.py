"""A process that prepares contestants and runs one round of a contestant on request.

    python worker.py FOLDER THREADS FRAMEWORK MODULE:FUNCTION ...

Reads the name of a contestant from each line of stdin. Prints one JSON document per line: {"ready": names} when the
contestants are prepared, then the seconds, loss and accuracy of each round.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from contest import Contestant, Fashion, clock


def main() -> None:
    folder, threads, framework, *names = sys.argv[1:]
    # Frameworks print to stdout: redirect it to stderr, and keep the original stdout for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    data = _data(Path(folder), int(threads))
    if framework != "sklearn":
        _equal_settings(data.threads)
    contestants = {name: _made(name, data) for name in names}
    _answer(answers, {"ready": names})
    for line in sys.stdin:
        _answer(answers, _one_round(contestants[line.strip()]))


def _data(folder: Path, threads: int) -> Fashion:
    from mlcli.config.schema import DatasetConfig
    from mlcli.data.load import load_dataset

    train = load_dataset(DatasetConfig(name="fashion"), data_dir=folder, offline=True).train
    return Fashion(train.x, train.y, folder, threads)


def _made(name: str, data: Fashion) -> Contestant:
    module, _, function = name.partition(":")
    contestant: Contestant = getattr(import_module(module), function)(data)
    return contestant


def _equal_settings(threads: int) -> None:
    """Apply the torch settings of the engines to every contestant that computes with torch."""
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _one_round(contestant: Contestant) -> dict[str, object]:
    started = clock()
    result = contestant()
    seconds = clock() - started
    return asdict(result) | {"seconds": seconds if result.seconds is None else result.seconds}


def _answer(channel, document: dict[str, object]) -> None:
    channel.write(json.dumps(document) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
