"""The names of the files of a run."""

from __future__ import annotations

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
PREPROCESSING = "preprocessing.json"
HISTORY = "history.csv"
METRICS = "metrics.json"
PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
ESTIMATOR = "estimator.skops"
LOG = "log.txt"
MANIFEST = "manifest.json"
