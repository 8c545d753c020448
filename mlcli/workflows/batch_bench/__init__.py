"""How batch size buys speed: every engine in a process of its own, every size in turn, round after round."""

from __future__ import annotations

from mlcli.workflows.batch_bench.ladder import DEFAULT_SIZES, parse_sizes
from mlcli.workflows.batch_bench.run import BenchTask, run_batch_bench

__all__ = ["DEFAULT_SIZES", "BenchTask", "parse_sizes", "run_batch_bench"]
