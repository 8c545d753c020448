"""A comparison in words: a verdict for a cell of the table, and the closing sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlcli.compare.records import Comparison, MatrixCost, Pair, Variant
from mlcli.compare.statistics.verdicts import Verdict

_ACCURACY_WORDS = {"higher": "better", "lower": "worse", "tie": "tie", "too few": "too few"}
_TIME_WORDS = {"higher": "slower", "lower": "faster", "tie": "tie", "too few": "too few"}
METHOD = (
    "accuracy: paired over seeds and test samples, two crossed random factors (Dorfman, Berbaum and Metz 1992; "
    "Hillis 2007); times: paired by round, t test on log ratios; verdicts corrected for all pairs (Holm 1979); "
    "tie: the 95 % interval lies within 1 point, or 5 % of the time; too few (+2): about 2 more seeds would tell"
)


def accuracy_word(pair: Pair | None) -> str | None:
    """better, worse, tie, or too few with the number of seeds that would do; None where nothing was compared."""
    return _word(pair.accuracy_verdict, _ACCURACY_WORDS, pair) if pair and pair.accuracy_verdict else None


def time_word(pair: Pair | None) -> str | None:
    """faster, slower, tie, or too few with the number of seeds that would do; None where nothing was compared."""
    return _word(pair.time_verdict, _TIME_WORDS, pair) if pair and pair.time_verdict else None


def _word(verdict: Verdict, words: dict[str, str], pair: Pair) -> str:
    word = words[verdict.word]
    if verdict.n_needed is None:
        return word
    more = verdict.n_needed - len(pair.seeds)
    return f"{word} (+{more})" if more < 100 else f"{word} (>+99)"


def points(pair: Pair | None) -> str | None:
    """The difference in accuracy in points with its interval, e.g. `+0.85 [+0.31, +1.39]`."""
    found = pair.accuracy if pair else None
    if found is None:
        return None
    if found.low is None or found.high is None:
        return f"{100 * found.mean:+.2f}"
    return f"{100 * found.mean:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def ratio(pair: Pair | None) -> str | None:
    """The ratio of the fit times with its interval, e.g. `4.31x [4.02, 4.62]`."""
    found = pair.time if pair else None
    if found is None:
        return None
    if found.low is None or found.high is None:
        return f"{found.mean:.3g}x"
    return f"{found.mean:.3g}x [{found.low:.3g}, {found.high:.3g}]"


def conclusions(comparison: Comparison) -> list[str]:
    """The closing sentences: who wins in accuracy and in time, or that it is a tie, or what is missing to tell."""
    ran = [variant for variant in comparison.variants if variant.runs]
    if len(ran) < 2:
        return ["one variant alone: there is nothing to compare it with"] if ran else ["no run has finished"]
    sentences = [_accuracy_sentence(comparison, ran), _time_sentence(comparison, ran)]
    return [sentence for sentence in sentences if sentence]


@dataclass(frozen=True)
class _Standing:
    """The leader, the runner-up, and what can be said of the leader and each other variant."""

    leader: str
    others: list[tuple[str, Verdict, Pair]]  # the runner-up first

    def with_word(self, *words: str) -> list[tuple[str, Verdict, Pair]]:
        return [other for other in self.others if other[1].word in words]


def _standing(
    comparison: Comparison,
    ran: Sequence[Variant],
    rank: Callable[[Variant], float | None],
    verdict_of: Callable[[Pair], Verdict | None],
) -> _Standing | None:
    """None where two of the variants cannot be compared in this."""
    ranked = [(value, number, variant) for number, variant in enumerate(ran) if (value := rank(variant)) is not None]
    if len(ranked) < len(ran):
        return None
    leader, *others = [variant.label for _, _, variant in sorted(ranked, key=lambda entry: entry[:2])]
    judged = []
    for other in others:
        pair = comparison.pair(leader, other) or comparison.pair(other, leader)
        verdict = verdict_of(pair) if pair else None
        if pair is None or verdict is None:
            return None
        judged.append((other, verdict, pair))
    return _Standing(leader, judged)


def _accuracy_sentence(comparison: Comparison, ran: Sequence[Variant]) -> str:
    def rank(variant: Variant) -> float | None:
        mean = comparison.means[variant.label]["accuracy"]
        return -mean.mean if mean else None

    standing = _standing(comparison, ran, rank, lambda pair: pair.accuracy_verdict)
    if standing is None:
        return "accuracy: not all variants were scored on the same samples with the same seeds, so no verdict on all"
    leader = standing.leader
    if len(standing.with_word("higher", "lower")) == len(standing.others):
        other, _, pair = standing.others[0]
        return f"{leader} is the most accurate: {_ahead(pair, leader)} points above {other}, the next"
    if len(standing.with_word("tie")) == len(standing.others):
        return _tie_sentence(comparison, ran)
    unclear = standing.with_word("too few")
    if not unclear:
        tied = _listed([leader, *(name for name, _, _ in standing.with_word("tie"))])
        return f"the most accurate are {tied}, a tie among them; the others are behind"
    return (
        f"accuracy: {leader} has the highest mean, but cannot be set apart from "
        f"{_listed([name for name, _, _ in unclear])}; {_missing(unclear, 'accuracy')}"
    )


def _ahead(pair: Pair, leader: str) -> str:
    found = pair.accuracy
    assert found is not None
    sign = 1 if pair.variant == leader else -1
    ends = [100 * sign * end for end in (found.low, found.high) if end is not None]
    interval = f" [{min(ends):.2f}, {max(ends):.2f}]" if ends else ""
    return f"{100 * sign * found.mean:.2f}{interval}"


def _tie_sentence(comparison: Comparison, ran: Sequence[Variant]) -> str:
    names = _listed([variant.label for variant in ran])
    if all(pair.accuracy and pair.accuracy.n_differing == 0 for pair in comparison.pairs):
        return f"a tie in accuracy: {names} are right on the same test samples"
    return f"a tie in accuracy: no variant is more than 1 point from the highest mean ({names})"


def _missing(unclear: Sequence[tuple[str, Verdict, Pair]], what: str) -> str:
    n_seeds = min(len(pair.seeds) for _, _, pair in unclear)
    if n_seeds < 2:
        p_values = [pair.mcnemar_p for _, _, pair in unclear if pair.mcnemar_p is not None]
        of_these = f" (of these trained models alone: McNemar p = {min(p_values):.2g})" if what == "accuracy" else ""
        return f"one seed says nothing of others, run at least 2 more{of_these}"
    needed = [verdict.n_needed for _, verdict, _ in unclear]
    if None in needed:
        return "more seeds alone would not tell: the test samples are too few"
    most = max(number for number in needed if number is not None)
    more = most - n_seeds
    return f"about {more} more seed{'s' if more > 1 else ''} ({most} in all) would tell"


def _time_sentence(comparison: Comparison, ran: Sequence[Variant]) -> str | None:
    def rank(variant: Variant) -> float | None:
        mean = comparison.means[variant.label]["fit_seconds"]
        return mean.mean if mean else None

    standing = _standing(comparison, ran, rank, lambda pair: pair.time_verdict)
    if standing is None:
        return None
    side_by_side = " (cells ran side by side: contended)" if comparison.cost and comparison.cost.contended else ""
    leader = standing.leader
    if len(standing.with_word("higher", "lower")) == len(standing.others):
        other, _, pair = standing.others[0]
        return f"{leader} fits fastest: {_times_as_fast(pair, leader)} times as fast as {other}, the next{side_by_side}"
    if len(standing.with_word("tie")) == len(standing.others):
        return f"a tie in fit time: {_listed([variant.label for variant in ran])} are within 5 %{side_by_side}"
    unclear = standing.with_word("too few")
    if not unclear:
        tied = _listed([leader, *(name for name, _, _ in standing.with_word("tie"))])
        return f"the fastest to fit are {tied}, a tie among them; the others are slower{side_by_side}"
    return (
        f"fit time: {leader} has the lowest mean, but cannot be set apart from "
        f"{_listed([name for name, _, _ in unclear])}; {_missing(unclear, 'time')}{side_by_side}"
    )


def _times_as_fast(pair: Pair, leader: str) -> str:
    found = pair.time
    assert found is not None
    sign = -1 if pair.variant == leader else 1
    ends = [end**sign for end in (found.low, found.high) if end is not None]
    interval = f" [{min(ends):.3g}, {max(ends):.3g}]" if ends else ""
    return f"{found.mean**sign:.3g}{interval}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def cost_sentence(cost: MatrixCost) -> str:
    """What the matrix took, e.g. `9 cells: 4 reused, 5 run in 31.2 s (cells 22.0 s, starting processes 9.1 s, ...)`."""
    counts = [f"{cost.n_reused} reused"] if cost.n_reused else []
    counts += [f"{cost.n_failed} failed"] if cost.n_failed else []
    if not cost.n_run:
        return f"{cost.n_cells} cells: {', '.join(counts) or 'none run'}"
    rest = cost.wall_seconds - cost.cells_seconds - cost.starting_seconds
    parts = [f"their own times {cost.cells_seconds:.1f} s", f"starting processes {cost.starting_seconds:.1f} s"]
    parts += [] if cost.contended or cost.n_failed else [f"the rest {max(rest, 0):.2f} s"]
    counts.append(f"{cost.n_run} run in {cost.wall_seconds:.1f} s ({', '.join(parts)})")
    return f"{cost.n_cells} cells: {', '.join(counts)}"
