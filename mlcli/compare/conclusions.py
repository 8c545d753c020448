"""The wording of a comparison: the verdict of a table cell, and the closing sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlcli.compare.judged_metric import unjudged_reason
from mlcli.compare.records import Comparison, Pair
from mlcli.compare.statistics import ACCURACY_MARGIN, ALPHA, RELATIVE_MARGIN
from mlcli.registry import DEFAULT_METRIC, METRICS

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
_PSEUDO_VALUES = (
    "the metric plus the influence of a sample on it (infinitesimal jackknife: Efron 1982) in place of right or wrong"
)
_METRIC_METHOD = (
    f"{{title}}: paired over seeds and test samples like accuracy, with {_PSEUDO_VALUES}; two crossed random factors "
    "(Dorfman, Berbaum and Metz 1992; Hillis 2007), with the interval of Banerjee (1960)."
)
_FOLDS_METHOD = (
    "{title}: about models trained on other samples of this size from the same source, with other seeds; paired by "
    "fold, t test with the variance (1/K + 1/(K-1)) s^2 because training sets overlap (after Nadeau and Bengio 2003), "
    "where repeats make s^2 more precise but bring no new samples; {of_samples}."
)
_OF_ANSWERS = "the p value is at least that of McNemar's test (1947), the interval at least that of Wilson (1927)"
_OF_VALUES = f"the p value is at least that of a t test of all samples, with {_PSEUDO_VALUES}"
_OF_DEPENDENT = "samples of a group or a time series are not independent, so no test of samples is used"
_METHOD = (
    "Fit time: paired by round of one session, t test on log ratios. ±: half of the 95 % confidence interval of a mean "
    "over {runs}. [ ]: 95 % confidence interval of a difference or ratio; from three {runs} on. Verdicts: corrected "
    "for all pairs (Holm 1979). Tie: the interval lies within {margin}{agreement}; of times, it lies within 5 %. "
    "Inconclusive: neither a difference nor a tie is established."
)


def method(comparison: Comparison) -> str:
    """Return how the verdicts were found, and with folds, what they are about."""
    title, is_accuracy = METRICS[comparison.metric].title, comparison.metric == DEFAULT_METRIC
    of_metric = _SEEDS_METHOD if is_accuracy else _METRIC_METHOD.format(title=title)
    if comparison.has_folds:
        of_samples = _OF_DEPENDENT if comparison.has_dependent_samples else _OF_ANSWERS if is_accuracy else _OF_VALUES
        of_metric = _FOLDS_METHOD.format(title=title, of_samples=of_samples)
    has_agreement = is_accuracy and not (comparison.has_folds and comparison.has_dependent_samples)
    agreement = ", or the variants agree on 299 test samples or more" if has_agreement else ""
    rest = _METHOD.format(runs=comparison.repeated_over, margin=margin_text(comparison.metric), agreement=agreement)
    return f"{of_metric} {rest}"


def accuracy_verdict_text(pair: Pair | None) -> str | None:
    """Return better, worse, tie or inconclusive, with what more is needed; None if nothing was compared."""
    return _verdict_text(pair, pair.accuracy_verdict, "better", "worse", pair.n_runs) if pair else None


def score_verdict_text(pair: Pair | None, metric: str) -> str | None:
    """Return the verdict on the metric of a comparison, in the words of accuracy_verdict_text."""
    words = ("worse", "better") if METRICS[metric].is_lower_better else ("better", "worse")
    return _verdict_text(pair, pair.score_verdict, *words, pair.n_runs) if pair else None


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


@dataclass(frozen=True)
class Unit:
    """The unit in which differences in a metric are written."""

    size: float
    digits: int
    name: str  # after a number, with a blank before it; empty for a plain number
    short: str

    def text(self, values: Sequence[float], sign: str = "+") -> str:
        """Return a mean and the ends of its interval, if given, as text without the name of the unit."""
        return _with_interval([value / self.size for value in values], f"{sign}.{self.digits}f")


_POINTS, _PLAIN = Unit(0.01, 2, " percentage points", " (pp)"), Unit(1.0, 4, "", "")


def unit_of(metric: str) -> Unit:
    """Return percentage points for fractions of samples, and plain numbers for other metrics."""
    return _POINTS if metric in ("accuracy", "balanced_accuracy") else _PLAIN


def difference_text(pair: Pair | None, metric: str) -> str | None:
    """Return the difference in a metric in its unit, e.g. `+0.85 [+0.31, +1.39]`; None if it is not judged."""
    return unit_of(metric).text(_values(pair.score)) if pair and pair.score else None


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
    topic = _metric_topic(comparison.metric)
    score, time = (_sentence(comparison, topic) for topic in (topic, _FIT_TIME))
    sentences = [score or f"{topic.name}: no overall verdict; {_no_verdict(comparison)}"]
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
    verdicts = [pair.score_verdict for pair in comparison.pairs]
    found = [v.detectable_difference for v in verdicts if v and v.detectable_difference is not None]
    if not found:
        return []
    unit = unit_of(comparison.metric)
    low, high = unit.text([min(found)], ""), unit.text([max(found)], "")
    span = f"{low if low == high else f'{low} to {high}'}{unit.name}"
    sentence = f"these {comparison.repeated_over} find a true difference of {span}"
    return [f"{METRICS[comparison.metric].title}: {sentence} with 80 % probability"]


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
    metric: str | None = None  # None for times


def _distance_in(metric: str) -> Callable[[Pair, str], str]:
    unit, info = unit_of(metric), METRICS[metric]

    def distance(pair: Pair, leader: str) -> str:
        assert pair.score is not None
        factor = info.sign if pair.variant == leader else -info.sign
        text = unit.text([factor * value for value in _values(pair.score)], "")
        return f"{text}{unit.name} {'below' if info.is_lower_better else 'above'}"

    return distance


def _relative_speed(pair: Pair, leader: str) -> str:
    assert pair.time is not None
    exponent = -1 if pair.variant == leader else 1
    return f"{_with_interval([value**exponent for value in _values(pair.time)], '.3g')} times as fast as"


def _speed_advantage(pair: Pair) -> float:
    return -math.log(pair.time.mean) if pair.time else 0.0


def _tied(comparison: Comparison) -> str:
    if all(pair.score and pair.score.n_differing == 0 for pair in comparison.pairs):
        is_accuracy = comparison.metric == DEFAULT_METRIC
        return "right on the same test samples" if is_accuracy else "equal on every test sample"
    side = "lowest" if METRICS[comparison.metric].is_lower_better else "highest"
    return f"within {margin_text(comparison.metric)} of the {side} mean"


def margin_text(metric: str) -> str:
    """Return within which difference two variants are a tie."""
    if METRICS[metric].is_lower_better:
        return f"{100 * RELATIVE_MARGIN:g} %"
    return "1 percentage point" if unit_of(metric) is _POINTS else f"{ACCURACY_MARGIN:g}"


def _metric_topic(metric: str) -> _Topic:
    info = METRICS[metric]
    is_accuracy = metric == DEFAULT_METRIC
    return _Topic(
        name=info.title,
        mean="lowest" if info.is_lower_better else "highest",
        verdict=lambda pair: pair.score_verdict,
        advantage=lambda pair: info.sign * pair.score.mean if pair.score else 0.0,
        n_runs=lambda pair: pair.n_runs,
        best="the most accurate" if is_accuracy else "the best",
        behind="less accurate" if is_accuracy else "worse",
        distance=_distance_in(metric),
        tied=_tied,
        obstacle="there are not enough test samples",
        metric=metric,
    )


def _no_verdict(comparison: Comparison) -> str:
    runs = [run for variant in comparison.ran for run in variant.runs]
    reason = unjudged_reason(comparison.metric, runs)
    return reason or "not all variants have the same test samples and seeds"


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
    if topic.metric == DEFAULT_METRIC and all(other.pair.n_runs == 1 for other in others):
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
    equal = [other.label for other in unclear if topic.metric and other.pair.score and not other.pair.score.mean]
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
