"""What can be concluded from repeated measurements. Pure: numbers in, numbers out; numpy at the most."""

from __future__ import annotations

from mlcli.statistics.medians import interquartile_range, is_median_within, median, median_interval, quantile

__all__ = ["interquartile_range", "is_median_within", "median", "median_interval", "quantile"]
