"""The wording of a comparison: the verdict of a table cell, and the closing sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlcli.compare.records import Comparison, Pair
from mlcli.compare.statistics import ALPHA

if TYPE_CHECKING:
    from mlcli.compare.statistics.accuracy import AccuracyDifference
    from mlcli.compare.statistics.folds import FoldsDifference
    from mlcli.compare.statistics.times import TimeRatio
    from mlcli.compare.statistics.verdicts import Verdict

MOST_RUNS_SHOWN = 50
_MCNEMAR = "McNemar's test, "
_SEEDS_METHOD = (
    "Accuracy: paired over seeds and test samples, two crossed random factors (Dorfman, Berbaum and Metz 1992; Hillis "
    "2007), with the interval of Banerjee (1960) and at least that of Wilson (1927)."
)
_FOLDS_METHOD = (
    "Accuracy: about models trained on other samples of this size from the same source, with other seeds; paired by "
    "fold, t test with the variance (1/K + 1/(K-1)) s^2 because training sets overlap (after Nadeau and Bengio 2003), "
    "where repeats make s^2 more precise but bring no new samples; the p value is at least that of McNemar's test "
    "(1947), the interval at least that of Wilson (1927)."
)
_METHOD = (
    "Fit time: paired by round of one session, t test on log ratios. ±: half of the 95 % confidence interval of a mean "
    "over {runs}. [ ]: 95 % confidence interval of a difference or ratio; from three {runs} on. Verdicts: corrected "
    "for all pairs (Holm 1979). Tie: the interval lies within 1 percentage point, or the variants agree on 299 test "
    "samples or more; of times, it lies within 5 %. Inconclusive: neither a difference nor a tie is established."
)


def method(comparison: Comparison) -> str:
    """Return how the verdicts were found, and with folds, what they are about."""
    of_accuracy = _FOLDS_METHOD if comparison.has_folds else _SEEDS_METHOD
    return f"{of_accuracy} {_METHOD.format(runs=comparison.repeated_over)}"


def accuracy_verdict_text(pair: Pair | None) -> str | None:
    """Return better, worse, tie or inconclusive, with what more is needed; None if nothing was compared."""
    return _verdict_text(pair, pair.accuracy_verdict, "better", "worse", pair.n_runs) if pair else None


def time_verdict_text(pair: Pair | None) -> str | None:
    """Return slower, faster, tie, inconclusive with what more is needed, or not comparable.

    None if nothing was compared.
    """
    if pair and pair.seeds and not pair.has_comparable_times:
        return "not comparable"
    return (
        _verdict_text(pair, pair.time_verdict, "slower", "faster", pair.time.n_rounds) if pair and pair.time else None
    )


def _verdict_text(pair: Pair, verdict: Verdict | None, higher: str, lower: str, n_runs: int) -> str | None:
    if verdict is None:
        return None
    if verdict.word == "inconclusive" and verdict.n_needed is not None:
        return f"inconclusive ({_more_needed(pair, verdict.n_needed - n_runs)})"
    return {"higher": higher, "lower": lower}.get(verdict.word, verdict.word)


def _more_needed(pair: Pair, n_more_runs: int) -> str:
    if n_more_runs > MOST_RUNS_SHOWN:
        return "indistinguishable in practice"
    n_more = _repetitions(pair, n_more_runs)
    return f"about {n_more} more {_repetition(pair)}{'s' if n_more > 1 else ''} needed"


def _repetition(pair: Pair) -> str:
    return "repeat" if pair.n_repeats else "seed"


def _repetitions(pair: Pair, n_runs: int) -> int:
    """Return a number of runs of a variant as one of seeds, or of repeats of all folds."""
    return math.ceil(n_runs * pair.n_repeats / pair.n_runs) if pair.n_repeats else n_runs


def points(pair: Pair | None) -> str | None:
    """Return the difference in accuracy in percentage points, e.g. `+0.85 [+0.31, +1.39]`."""
    return _with_interval([100 * value for value in _values(pair.accuracy)], "+.2f") if pair and pair.accuracy else None


def ratio(pair: Pair | None) -> str | None:
    """Return the ratio of the fit times, e.g. `4.31x [4.02, 4.62]`."""
    return _with_interval(_values(pair.time), ".3g", "x") if pair and pair.time else None


def _values(found: AccuracyDifference | FoldsDifference | TimeRatio) -> list[float]:
    """Return the mean and, with several seeds, the ends of its interval."""
    return [value for value in (found.mean, found.low, found.high) if value is not None]


def _with_interval(values: Sequence[float], form: str, unit: str = "") -> str:
    mean, *ends = values
    interval = f" [{min(ends):{form}}, {max(ends):{form}}]" if ends else ""
    return f"{mean:{form}}{unit}{interval}"


def conclusions(comparison: Comparison) -> list[str]:
    """Return the closing sentences: the best variant in accuracy and in fit time, a tie, or what is inconclusive."""
    if len(comparison.ran) < 2:
        return ["only one variant: nothing to compare it with"] if comparison.ran else ["no run has finished"]
    accuracy, time = (_sentence(comparison, topic) for topic in (_ACCURACY, _FIT_TIME))
    sentences = [accuracy or "accuracy: no overall verdict; not all variants have the same test samples and seeds"]
    if any(pair.seeds and not pair.has_comparable_times for pair in comparison.pairs):
        # Without the cost of a matrix, existing runs are compared.
        advice = "--retime measures them again" if comparison.cost else "compare a configuration file to measure them"
        sentences.append(f"fit time: not comparable (measured in different sessions); {advice} together")
    elif time:
        sentences.append(time + _reservations(comparison))
    return sentences + _power(comparison)


def _reservations(comparison: Comparison) -> str:
    """Return in parentheses what limits the conclusion about times; empty if nothing does."""
    reservations = ["contended: cells ran in parallel"] if comparison.is_contended else []
    rounds = min((pair.time.n_rounds, pair.n_runs) for pair in comparison.pairs if pair.time)
    if rounds[0] < rounds[1]:
        of_rounds = f"in {rounds[0]} of {rounds[1]} rounds"
        reservations.append(f"{of_rounds}; the other times were measured in different sessions")
    return f" ({'; '.join(reservations)})" if reservations else ""


def _power(comparison: Comparison) -> list[str]:
    """Return the sentence on the smallest differences that the runs at hand would have found; none without any."""
    verdicts = [pair.accuracy_verdict for pair in comparison.pairs]
    found = [100 * v.detectable_difference for v in verdicts if v and v.detectable_difference is not None]
    if not found:
        return []
    low, high = f"{min(found):.2f}", f"{max(found):.2f}"
    span = low if low == high else f"{low} to {high}"
    sentence = f"these {comparison.repeated_over} find a true difference of {span} percentage points"
    return [f"accuracy: {sentence} with 80 % probability"]


@dataclass(frozen=True)
class _Topic:
    """A measurement by which variants are ranked, and the wording of its sentence.

    The functions take a pair that has a verdict, except for `verdict` itself.
    """

    name: str
    mean: str  # of the best variant: highest or lowest
    verdict: Callable[[Pair], Verdict | None]
    advantage: Callable[[Pair], float]  # of the variant over the reference
    n_runs: Callable[[Pair], int]
    best: str
    behind: str
    distance: Callable[[Pair, str], str]  # of a pair, one of which is the leader
    tied: Callable[[Comparison], str]  # all variants are a tie
    obstacle: str  # why no number of runs would suffice


def _distance_in_points(pair: Pair, leader: str) -> str:
    assert pair.accuracy is not None
    factor = 100 if pair.variant == leader else -100
    return f"{_with_interval([factor * value for value in _values(pair.accuracy)], '.2f')} percentage points above"


def _relative_speed(pair: Pair, leader: str) -> str:
    assert pair.time is not None
    exponent = -1 if pair.variant == leader else 1
    return f"{_with_interval([value**exponent for value in _values(pair.time)], '.3g')} times as fast as"


def _accuracy_advantage(pair: Pair) -> float:
    return pair.accuracy.mean if pair.accuracy else 0.0


def _speed_advantage(pair: Pair) -> float:
    return -math.log(pair.time.mean) if pair.time else 0.0


def _tied_in_accuracy(comparison: Comparison) -> str:
    if all(pair.accuracy and pair.accuracy.n_differing == 0 for pair in comparison.pairs):
        return "right on the same test samples"
    return "within 1 percentage point of the highest mean"


_ACCURACY = _Topic(
    name="accuracy",
    mean="highest",
    verdict=lambda pair: pair.accuracy_verdict,
    advantage=_accuracy_advantage,
    n_runs=lambda pair: pair.n_runs,
    best="the most accurate",
    behind="less accurate",
    distance=_distance_in_points,
    tied=_tied_in_accuracy,
    obstacle="there are not enough test samples",
)
_FIT_TIME = _Topic(
    name="fit time",
    mean="lowest",
    verdict=lambda pair: pair.time_verdict,
    advantage=_speed_advantage,
    n_runs=lambda pair: pair.time.n_rounds if pair.time else 0,
    best="the fastest",
    behind="slower",
    distance=_relative_speed,
    tied=lambda comparison: "within 5 % of each other",
    obstacle="the times vary too much",
)


class _Other(NamedTuple):
    """A variant other than the leader, and its comparison with the leader."""

    label: str
    pair: Pair
    verdict: Verdict


def _sentence(comparison: Comparison, topic: _Topic) -> str | None:
    """Return the conclusion about a topic; None without one.

    There is none if two of the variants cannot be compared, or if the seeds of the variants differ so much that the
    variant with the best results is significantly worse than another one with the seeds that both have.
    """
    leader, others = _ranked(comparison, topic)
    if len(others) < len(comparison.ran) - 1 or any(_loses(leader, other, topic) for other in others):
        return None
    tied = [other.label for other in others if other.verdict.word == "tie"]
    unclear = [other for other in others if other.verdict.word == "inconclusive"]
    if topic is _ACCURACY and all(other.pair.n_runs == 1 for other in others):
        text = _single_models(leader, others, len(comparison.pairs))
    elif unclear:
        text = f"{_not_different(leader, unclear, topic)}; {_missing(unclear, topic)}"
    elif not tied:
        text = f"{leader} is {topic.best}, {topic.distance(others[0].pair, leader)} {others[0].label}, the next"
    elif len(tied) < len(others):
        text = f"a tie; {_listed([leader, *tied])} are {topic.best}, the others are {topic.behind}"
    else:
        text = f"a tie; {_listed([leader, *tied])} are {topic.tied(comparison)}"
    return f"{topic.name}: {text}"


def _not_different(leader: str, unclear: Sequence[_Other], topic: _Topic) -> str:
    """Return that variants are not significantly different from the leader; with equal accuracies, none leads."""
    equal = [
        other.label for other in unclear if topic is _ACCURACY and other.pair.accuracy and not other.pair.accuracy.mean
    ]
    others = [other.label for other in unclear if other.label not in equal]
    if not equal:
        return f"{leader} has the {topic.mean} mean, but is not significantly different from {_listed(others)}"
    if not others:
        return f"{_listed([leader, *equal])} have the same mean"
    best = f"{_listed([leader, *equal])} have the {topic.mean} mean"
    return f"{best}, but are not significantly different from {_listed(others)}"


def _single_models(leader: str, others: Sequence[_Other], n_pairs: int) -> str:
    """Return what McNemar's test, corrected for all pairs (Bonferroni), finds about the models of a single seed."""
    p_values = {other.label: min(1.0, n_pairs * (other.pair.mcnemar_p or 0.0)) for other in others}
    worse = {label: p for label, p in p_values.items() if p < ALPHA}
    unclear = {label: p for label, p in p_values.items() if p >= ALPHA}
    results = []
    if worse:
        p = f"p {'=' if len(worse) == 1 else '<='} {max(worse.values()):.2g}"
        results.append(f"more accurate than {_models_of(worse)} ({_MCNEMAR}{p})")
    if unclear:
        p = f"p {'=' if len(unclear) == 1 else '>='} {min(unclear.values()):.2g}"
        results.append(f"not significantly different from {_models_of(unclear)} ({'' if worse else _MCNEMAR}{p})")
    return f"the trained model of {leader} is {', '.join(results)}; seed variation unknown: run at least 2 more seeds"


def _models_of(labels: Iterable[str]) -> str:
    names = list(labels)
    return f"th{'ose' if len(names) > 1 else 'at'} of {_listed(names)}"


def _ranked(comparison: Comparison, topic: _Topic) -> tuple[str, list[_Other]]:
    """Return the variant that is best in comparison with all others, and those compared with it, the best first.

    Ranked by the differences of pairs, because means over different seeds or sessions are not comparable.
    """
    judged = [(pair, verdict) for pair in comparison.pairs if (verdict := topic.verdict(pair))]
    advantages = dict.fromkeys((variant.label for variant in comparison.ran), 0.0)
    for pair, _ in judged:
        advantages[pair.variant] += topic.advantage(pair)
        advantages[pair.reference] -= topic.advantage(pair)
    leader, *labels = sorted(advantages, key=lambda label: advantages[label], reverse=True)
    pairs = {
        pair.variant if pair.reference == leader else pair.reference: (pair, verdict)
        for pair, verdict in judged
        if leader in (pair.variant, pair.reference)
    }
    return leader, [_Other(label, *pairs[label]) for label in labels if label in pairs]


def _loses(leader: str, other: _Other, topic: _Topic) -> bool:
    advantage = topic.advantage(other.pair) * (1 if other.pair.variant == leader else -1)
    return other.verdict.word in ("higher", "lower") and advantage < 0


def _missing(unclear: Sequence[_Other], topic: _Topic) -> str:
    """Return what is missing for a conclusion."""
    n_runs = min(topic.n_runs(other.pair) for other in unclear)
    if n_runs < 2:
        return "one seed is not enough, run at least 2 more"
    needed = [other.verdict.n_needed for other in unclear]
    known = [number for number in needed if number is not None]
    if len(known) < len(needed):
        return f"more {_repetition(unclear[0].pair)}s would not suffice, because {topic.obstacle}"
    n_more, pair = max(known) - n_runs, unclear[0].pair
    in_all = f" ({_repetitions(pair, max(known)):,} in all)" if n_more <= MOST_RUNS_SHOWN else ""
    return _more_needed(pair, n_more) + in_all


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
