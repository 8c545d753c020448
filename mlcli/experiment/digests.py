"""Identity of an experiment: sha256 digests of its configuration, data, split and weights."""

from __future__ import annotations

import hashlib

from mlcli import __version__
from mlcli.config.dump import config_digest
from mlcli.config.schema import ExperimentConfig
from mlcli.engines.contract import Weights
from mlcli.records import Dataset


def experiment_digests(config: ExperimentConfig, dataset: Dataset) -> dict[str, str]:
    """Return the digests "config", "dataset" and "split", and as "experiment" one over these and the mlcli version.

    The name of an experiment does not count, nor does the location of the run under `init_from`; the digest of that
    run's weights does.
    """
    init_from = config.init_from.model_copy(update={"run": ""}) if config.init_from else None
    digests = {
        "config": config_digest(config.model_copy(update={"name": None, "init_from": init_from})),
        "dataset": dataset.fingerprint,
        "split": dataset.split_digest,
    }
    whole = "\n".join([__version__, *digests.values()])
    return digests | {"experiment": hashlib.sha256(whole.encode()).hexdigest()}


def weights_digest(weights: Weights) -> str:
    """Return the sha256 over names, shapes, dtypes and values, in the order of the mapping."""
    digest = hashlib.sha256()
    for name, array in weights.items():
        digest.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
