"""The statistics of comparisons, and the conventions that they share."""

from __future__ import annotations

ALPHA = 0.05  # of intervals and verdicts
MIN_FOR_INTERVAL = 3  # runs; the interval of two is so wide that it tells nothing
ACCURACY_MARGIN = 0.01  # within which accuracies are a tie: one percentage point
RELATIVE_MARGIN = 0.05  # of losses and Brier scores: within 5 % of that of the reference
MIN_CLASS_SAMPLES = 10  # of every class, for a verdict on a metric that gives all classes the same weight
TIME_MARGIN = 0.05  # within which times are a tie: five per cent
