"""An engine in a real process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from mlcli.batch_bench.messages import SubjectSpec, Visit
from mlcli.batch_bench.process import SubjectProcess
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import MlcliError, UsageError

IRIS = {"backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}}
VISIT = Visit("forward", 10, seconds=0.01, most_samples=None, warmup_seconds=0.01)


def process(settings: dict[str, object], **changes: object) -> SubjectProcess:
    config = ExperimentConfig.model_validate(settings).model_dump_json()
    fields = dict.fromkeys(("run", "matmul_precision", "data_directory")) | dict.fromkeys(
        ("compiled", "include_transfer", "offline"), False
    )
    return SubjectProcess(SubjectSpec(config=config, threads=1, **(fields | changes)), "sklearn", {})


@pytest.fixture(scope="module")
def iris() -> Iterator[SubjectProcess]:
    with process(IRIS) as started:
        introduction = started.introduction()
        assert (introduction.n_samples, introduction.device) == (120, "cpu")
        assert not introduction.is_iterative
        yield started


def test_a_process_measures_what_it_is_asked_for(iris):
    first, second = iris.visit(VISIT), iris.visit(VISIT)
    assert first.first_call_seconds > 0
    assert second.first_call_seconds is None
    for visited in (first, second):
        assert all(0 < seconds < 1 for seconds in visited.samples)
        assert len(visited.references) == len(visited.samples)
        assert all(seconds > 0 for seconds in visited.references)
        assert visited.out_of_memory is None
    assert first.loss == pytest.approx(1.0986, abs=1e-4)  # ln 3: the weights of the logistic regression start at zero
    assert all(seconds > 0 for seconds in iris.products().values())
    assert iris.cpu_seconds() > 0


def test_a_process_that_the_system_kills_is_a_size_without_memory_and_the_next_one_is_measured(iris):
    os.kill(iris._process.pid, signal.SIGKILL)
    iris._process.wait()
    assert "SIGKILL" in iris.visit(VISIT).out_of_memory
    assert iris.visit(VISIT).samples


def test_any_other_end_is_a_fault(iris):
    os.kill(iris._process.pid, signal.SIGTERM)
    iris._process.wait()
    with pytest.raises(MlcliError, match="ended with code -15"):
        iris.visit(VISIT)


def test_what_the_engine_refuses_is_refused_here():
    with process(IRIS | {"runtime": {"device": "mps"}}) as started, pytest.raises(UsageError, match="mps"):
        started.introduction()


def test_what_a_framework_prints_is_no_answer():
    """A forest that is told to be verbose prints to stdout, where the answers go."""
    parameters = {"n_estimators": 2, "verbose": 2}
    forest = {"name": "estimator", "estimator": "RandomForestClassifier", "parameters": parameters}
    with process(IRIS | {"model": forest}) as started:
        assert started.introduction().notes == ("fitted on 120 samples before it was measured",)
        assert started.visit(VISIT).samples


def test_a_fault_of_the_framework_arrives_in_words():
    broken = {
        "backend": "sklearn",
        "dataset": {"name": "iris"},
        "model": {"name": "estimator", "estimator": "KNeighborsClassifier", "parameters": {"n_neighbors": 500}},
    }
    with process(broken) as started:
        started.introduction()
        with pytest.raises(MlcliError, match="sklearn: ValueError: Expected n_neighbors"):
            started.visit(VISIT)
