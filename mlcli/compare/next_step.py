"""What would settle an inconclusive comparison: the command with more seeds or repeats, and its cost."""

from __future__ import annotations

import math
import shlex
from datetime import timedelta

from mlcli.compare import CompareRequest
from mlcli.compare.conclusions import MOST_RUNS_SHOWN
from mlcli.compare.records import Comparison
from mlcli.config.flags import option_of
from mlcli.registry import METRICS

_MATRIX_OPTIONS = {"backends": "--backend", "vary": "--vary", "settings": "--set", "metric": "--metric"}
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
            (METRICS[comparison.metric].title, pair.score_verdict, pair.n_runs),
            ("fit time", pair.time_verdict, n_rounds),
        ):
            if verdict and verdict.word == "inconclusive" and verdict.n_needed is not None:
                missing[name] = max(missing.get(name, 0), verdict.n_needed - n)
    missing = {name: number for name, number in missing.items() if 0 < number <= MOST_RUNS_SHOWN}
    if not missing:
        return None
    unit = _runs_of_repeat(request)
    n_more = math.ceil(max(missing.values()) / unit) * unit
    means = [comparison.means[variant.label]["total_seconds"] for variant in comparison.ran]
    seconds = n_more * sum(mean.mean + comparison.cost.starting_seconds_per_run for mean in means if mean)
    runs = f"{n_more * len(means):,} more runs, about {timedelta(seconds=round(seconds / request.jobs))}"
    return f"to settle {' and '.join(missing)}: {_command(request, n_runs, n_more)} ({runs})"


def _command(request: CompareRequest, n_runs: int, n_more: int) -> str:
    words = ["mlcli", "compare", *request.inputs]
    words += [word for key, value in request.flags.items() for word in (option_of(key), str(value))]
    for name, flag in (_MATRIX_OPTIONS | _EXECUTION_OPTIONS).items():
        value = getattr(request, name)
        if value and value != getattr(CompareRequest(), name):
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for one in values for word in (flag, str(one))]
    words += ["--gpus"] if request.gpus else []
    return shlex.join([*words, *_more_runs(request, n_runs, n_more)])


def _runs_of_repeat(request: CompareRequest) -> int:
    """Return how many runs of a variant a repeat of all folds has; 1 without folds."""
    return request.folds * int(request.seeds or 1) if request.folds else 1


def _more_runs(request: CompareRequest, n_runs: int, n_more: int) -> list[str]:
    """Return the options for more runs of each variant: n_more in addition to n_runs."""
    seeds = request.seeds or ""
    if request.folds:
        n_repeats = (request.repeats or 1) + n_more // _runs_of_repeat(request)
        folds = ["--folds", str(request.folds), "--repeats", str(n_repeats)]
        return (["--seeds", seeds] if seeds else []) + folds
    if "," not in seeds:
        return ["--seeds", str(n_runs + n_more)]
    last = max(int(text) for text in seeds.split(","))
    return ["--seeds", ",".join([seeds, *map(str, range(last + 1, last + 1 + n_more))])]
