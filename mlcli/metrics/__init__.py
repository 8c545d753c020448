"""Metrics by the definitions of `sklearn.metrics`, in numpy: importing scikit-learn would outlast a short run."""
