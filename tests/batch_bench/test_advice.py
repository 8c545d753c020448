"""Advice and warnings for series with fixed samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlcli.batch_bench.advice import advice_sentence, advise, warnings_about
from mlcli.batch_bench.records import PHASES, BenchAdvice, BenchEngine, BenchSeries, BenchSettings
from mlcli.batch_bench.statistics import add_statistics, epoch_steps

ENGINE = BenchEngine(
    backend="torch",
    threads=2,
    device="cpu",
    n_samples=60000,
    clock_resolution_seconds=1e-7,
    matrix_products={100: [1e-3, 2e-3]},
    waiting="spin",
    notes=(),
    fastest_probe_seconds=1.0,
)
SETTINGS = BenchSettings(("torch",), (2,), PHASES, None, 0.25, 2.0, None, "float32", False, False)
ADVICE = BenchAdvice("torch", 2, "train", 1000, 80000.0, 6000, 82000.0, 60, 1000, 128, 469, None)


def series(batch_size, *samples, phase="train", **fields):
    fields = {"probes": [1.0] * len(samples), "calls_per_sample": 1} | fields
    found = BenchSeries("torch", 2, phase, batch_size, *epoch_steps(60000, batch_size), samples=list(samples), **fields)
    add_statistics([found], ENGINE, None)
    return found


def sweep(throughputs, phase="train"):
    return [series(size, *[size / rate] * 6, phase=phase) for size, rate in throughputs.items()]


def test_the_advice_is_the_smallest_size_within_five_percent_of_the_best():
    (advice,) = advise(
        sweep({1: 100, 100: 940, 300: 960, 1000: 1000, 6000: 980}), 60000, 128, lambda *given: f"line {given}"
    )
    assert (advice.batch_size, advice.best_batch_size) == (300, 1000)
    assert (advice.steps_per_epoch, advice.last_batch_size) == (200, 300)
    assert (advice.configured_batch_size, advice.configured_steps_per_epoch) == (128, 469)
    assert advice.command == "line ('torch', 2, 300)"


@pytest.mark.parametrize(
    ("throughputs", "spread", "chosen"),
    [
        ({100: 800, 300: 940, 1000: 1000}, 0.0, 1000),
        ({100: 800, 300: 940, 1000: 1000}, 0.03, 300),  # both may be 970
        ({100: 800, 300: 920, 1000: 1000}, 0.01, 1000),
        ({100: 890, 300: 910, 1000: 1000}, 0.5, 300),  # unknown, but more than 10 % less is not advised
    ],
)
def test_a_size_is_within_five_percent_unless_the_intervals_rule_it_out(throughputs, spread, chosen):
    rows = [
        series(size, *(size / rate * (1 + spread * step) for step in (-1, -0.5, -0.1, 0.1, 0.5, 1)))
        for size, rate in throughputs.items()
    ]
    (advice,) = advise(rows, 60000, None, lambda *_: None)
    assert advice.batch_size == chosen


def test_a_best_size_with_a_wide_interval_may_be_closer_than_its_median():
    def best(spread):
        return series(1000, *(1 + spread * step for step in (-1, -0.5, -0.1, 0.1, 0.5, 1)))

    exact = series(300, *[300 / 940] * 6)
    assert [advise([exact, best(spread)], 60000, None, lambda *_: None)[0].batch_size for spread in (0.0, 0.03)] == [
        1000, 300,
    ]  # fmt: skip


def test_prediction_has_separate_advice_without_a_training_command():
    found = advise((*sweep({1: 1, 10: 2}), *sweep({1: 100, 10: 100}, "forward")), 60000, None, lambda *_: "line")
    assert [(one.phase, one.batch_size, one.command) for one in found] == [("train", 10, "line"), ("forward", 1, None)]


def test_nothing_measured_means_no_advice():
    assert advise([replace(series(1, 1.0), statistics=None, status="out of memory")], 60000, None, lambda *_: "") == ()


def test_the_sentence_names_the_size_what_is_lost_and_the_steps():
    assert advice_sentence(ADVICE, several_threads=False) == (
        "torch, training: use batch size 1,000 (80,000 samples/s, within 5 % of peak throughput, 82,000 at 6,000); "
        "60 steps per epoch instead of 469 with batch size 128"
    )


def test_the_sentence_tells_when_only_the_intervals_are_within_five_percent():
    text = advice_sentence(replace(ADVICE, samples_per_second=77000.0), several_threads=False)
    assert "82,000 at 6,000; medians overlap); 60 steps" in text


def test_the_sentence_of_the_fastest_size_and_of_several_thread_counts():
    text = advice_sentence(replace(ADVICE, batch_size=6000, phase="forward"), several_threads=True)
    assert text == "torch with 2 threads, prediction: use batch size 6,000 (80,000 samples/s, peak throughput)"


def warnings(*given, engine=ENGINE, busy_cores=0.0):
    return list(warnings_about(given, [engine], max_seconds=2.0, n_cores=2, busy_cores=busy_cores))


def test_reliable_measurements_have_no_warnings():
    assert warnings(series(1, *[0.01] * 6, first_call_seconds=0.02)) == []


def test_times_that_vary_are_named_with_more_time():
    wide, narrow = (0.01, 0.01, 0.02, 0.02, 0.03, 0.03), [0.01] * 6
    (line,) = warnings(series(1, *wide), series(10, *narrow), series(6000, *wide))
    assert "the times of batch sizes 1 and 6,000 vary by more than 10 %" in line
    assert "--max-time 8" in line


def test_disturbed_series_are_named_with_more_time():
    samples = [0.01] * 6
    (line,) = warnings(series(1, *samples), series(32, *samples, probes=[1.4] * 6))
    assert "almost all samples of batch size 32 were disturbed by other processes" in line
    assert "--max-time 8" in line


def test_the_state_of_the_machine_is_one_line():
    disturbed = series(1, 0.01, 0.01, 0.02, 0.02, 0.03, 0.03, probes=[1.4] * 6)
    (line,) = warnings(disturbed, engine=replace(ENGINE, waiting="sleep"), busy_cores=1.5)
    for part in ("kept 1.5 of 2 cores busy", "threads slept", "disturbed", "vary by more than 10 %"):
        assert part in line


def test_more_threads_than_cores_are_named_with_the_number_that_fits():
    (line,) = warnings(series(1, *[0.01] * 6), engine=replace(ENGINE, threads=8))
    assert "8 threads share 2 cores" in line
    assert "--threads 2" in line
