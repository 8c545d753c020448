"""The metrics of a split: one implementation for every engine, on numpy alone.

The definitions are those of `sklearn.metrics`, as tests verify; importing scikit-learn for a few sums would take longer
than most of the work of a short run.
"""

from __future__ import annotations

from mlcli.metrics.scores import accuracy, log_loss, score

__all__ = ["accuracy", "log_loss", "score"]
