"""What would settle an inconclusive comparison: the command with more seeds or repeats, and its cost."""

from __future__ import annotations

import math
import shlex
from datetime import timedelta

from mlcli.compare import CompareRequest
from mlcli.compare.conclusions import MOST_RUNS_SHOWN
from mlcli.compare.records import Comparison

_MATRIX_OPTIONS = {"backends": "--backend", "vary": "--vary", "settings": "--set"}
_EXECUTION_OPTIONS = {
    "device": "--device",
    "threads": "--threads",
    "jobs": "--jobs",
    "executor": "--executor",
    "address": "--address",
    "runs_dir": "--runs-dir",
    "data_dir": "--data-dir",
}


def next_step(comparison: Comparison, request: CompareRequest) -> str | None:
    """Return the command that would settle what is inconclusive, with the number of further runs and their seconds.

    None if nothing is, if no realistic number of runs would suffice, and for a comparison of existing runs, which has
    no command. request: as the user gave it.
    """
    if comparison.cost is None:
        return None
    n_runs = max((len(variant.runs) for variant in comparison.ran), default=0)
    missing: dict[str, int] = {}  # runs of a variant, by what they would settle
    for pair in comparison.pairs:
        n_rounds = pair.time.n_rounds if pair.time else 0
        for name, verdict, n in (
            ("accuracy", pair.accuracy_verdict, pair.n_runs),
            ("fit time", pair.time_verdict, n_rounds),
        ):
            if verdict and verdict.word == "inconclusive" and verdict.n_needed is not None:
                missing[name] = max(missing.get(name, 0), verdict.n_needed - n)
    missing = {name: number for name, number in missing.items() if 0 < number <= MOST_RUNS_SHOWN}
    if not missing:
        return None
    in_repeat = max(n_runs // (request.repeats or 1), 1) if request.folds else 1  # runs of a variant
    n_more = math.ceil(max(missing.values()) / in_repeat) * in_repeat
    means = [comparison.means[variant.label]["total_seconds"] for variant in comparison.ran]
    seconds = n_more * sum(mean.mean + comparison.cost.starting_seconds_per_run for mean in means if mean)
    runs = f"{n_more * len(means):,} more runs, about {timedelta(seconds=round(seconds / request.jobs))}"
    return f"to settle {' and '.join(missing)}: {_command(request, n_runs, n_more)} ({runs})"


def _command(request: CompareRequest, n_runs: int, n_more: int) -> str:
    words = ["mlcli", "compare", *request.inputs]
    for name, flag in (_MATRIX_OPTIONS | _EXECUTION_OPTIONS).items():
        value = getattr(request, name)
        if value and value != getattr(CompareRequest(), name):
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for one in values for word in (flag, str(one))]
    words += ["--gpus"] if request.gpus else []
    if request.folds:
        n_repeats = request.repeats or 1
        words += ["--seeds", request.seeds] if request.seeds else []
        words += ["--folds", str(request.folds)]
        return shlex.join([*words, "--repeats", str(n_repeats + n_more * n_repeats // n_runs)])
    texts = (request.seeds or "").split(",")
    given = [int(text) for text in texts] if len(texts) > 1 else []
    more = range(max(given, default=0) + 1, max(given, default=0) + 1 + n_more)
    seeds = [*given, *more] if given else [n_runs + n_more]
    return shlex.join([*words, "--seeds", ",".join(map(str, seeds))])
