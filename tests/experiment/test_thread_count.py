"""The thread count is settled before any library could be ended by it."""

from __future__ import annotations

import os

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError
from mlcli.experiment.threads import configure_threads


def test_more_threads_than_openmp_survives_are_refused():
    with pytest.raises(UsageError, match="--threads 2000000000: must be at most 1024"):
        configure_threads(ExperimentConfig(), 2_000_000_000)


def test_the_flag_wins_over_the_configuration_and_is_told_to_the_libraries(monkeypatch):
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    assert configure_threads(ExperimentConfig.model_validate({"runtime": {"threads": 3}}), 2) == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"
