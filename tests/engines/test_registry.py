"""Building an engine by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.errors import UsageError

SCRIPT = """
import gc
from mlcli.config.schema import LogisticModel, Sgd, Lbfgs
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.models.layers import build_network
from mlcli.records import Scaling

model = LogisticModel()
spec = EngineSpec(model, build_network(model, (4,), 3), 3, Lbfgs(), None, Scaling("none"), EngineRuntime())
build_engine("sklearn", spec, None)
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
n_frozen = gc.get_freeze_count()
build_engine("sklearn", spec, None)
print(gc.get_freeze_count() <= n_frozen)
"""


def test_garbage_is_collected_again_after_a_framework_was_imported():
    """The framework is excluded from later collections, once; a second engine excludes nothing."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["True", "True", "True"]


def test_an_unknown_engine_is_a_usage_error():
    spec = EngineSpec(None, None, 2, None, None, None, EngineRuntime())
    with pytest.raises(UsageError, match="unknown backend 'tensorflow'"):
        build_engine("tensorflow", spec, None)
