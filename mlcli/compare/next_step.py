"""What would settle an inconclusive comparison: the command with more seeds, and its cost."""

from __future__ import annotations

import shlex
from datetime import timedelta

from mlcli.compare import CompareRequest
from mlcli.compare.conclusions import MOST_SEEDS_SHOWN
from mlcli.compare.records import Comparison
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

    None if nothing is, if no realistic number of seeds would suffice, and for a comparison of existing runs, which has
    no command. request: as the user gave it.
    """
    if comparison.cost is None:
        return None
    n_seeds = max((len(variant.runs) for variant in comparison.ran), default=0)
    missing: dict[str, int] = {}  # seeds, by what they would settle
    for pair in comparison.pairs:
        n_rounds = pair.time.n_rounds if pair.time else 0
        for name, verdict, n in (
            (METRICS[comparison.metric].title, pair.score_verdict, len(pair.seeds)),
            ("fit time", pair.time_verdict, n_rounds),
        ):
            if verdict and verdict.word == "inconclusive" and verdict.n_needed is not None:
                missing[name] = max(missing.get(name, 0), verdict.n_needed - n)
    missing = {name: number for name, number in missing.items() if 0 < number <= MOST_SEEDS_SHOWN}
    if not missing:
        return None
    n_more = max(missing.values())
    means = [comparison.means[variant.label]["total_seconds"] for variant in comparison.ran]
    seconds = n_more * sum(mean.mean + comparison.cost.starting_seconds_per_run for mean in means if mean)
    runs = f"{n_more * len(means):,} more runs, about {timedelta(seconds=round(seconds / request.jobs))}"
    return f"to settle {' and '.join(missing)}: {_command(request, n_seeds, n_more)} ({runs})"


def _command(request: CompareRequest, n_seeds: int, n_more: int) -> str:
    words = ["mlcli", "compare", *request.inputs]
    for name, flag in (_MATRIX_OPTIONS | _EXECUTION_OPTIONS).items():
        value = getattr(request, name)
        if value and value != getattr(CompareRequest(), name):
            values = value if isinstance(value, list | tuple) else [value]
            words += [word for one in values for word in (flag, str(one))]
    words += ["--gpus"] if request.gpus else []
    given = [int(text) for text in request.seeds.split(",")]
    more = range(max(given) + 1, max(given) + 1 + n_more)
    seeds = [*given, *more] if "," in request.seeds else [n_seeds + n_more]
    return shlex.join([*words, "--seeds", ",".join(map(str, seeds))])
