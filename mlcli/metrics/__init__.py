"""The metrics of a split: one implementation for every engine, on numpy alone.

The definitions are those of `sklearn.metrics`, as tests verify; importing scikit-learn for a few sums would take longer
than most of the work of a short run.
"""
