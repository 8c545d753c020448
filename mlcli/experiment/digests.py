"""What makes two runs the same experiment, as sha256 digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlcli import __version__
from mlcli.config.dump import config_digest
from mlcli.config.schema import ExperimentConfig
from mlcli.records import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def experiment_digests(config: ExperimentConfig, dataset: Dataset) -> dict[str, str]:
    """Digests of the parts of an experiment and, as "experiment", of all of it with the version of mlcli.

    The name of an experiment is not part of it, and neither is where the weights lie that it starts from; their
    digest is.
    """
    start = config.init_from.model_copy(update={"run": ""}) if config.init_from else None
    digests = {
        "config": config_digest(config.model_copy(update={"name": None, "init_from": start})),
        "dataset": dataset.fingerprint,
        "split": dataset.split_digest,
    }
    whole = "\n".join([__version__, *digests.values()])
    return digests | {"experiment": hashlib.sha256(whole.encode()).hexdigest()}


def weights_digest(weights: Mapping[str, NDArray[np.floating]]) -> str:
    """sha256 over names, shapes, dtypes and values in the order given."""
    digest = hashlib.sha256()
    for name, array in weights.items():
        digest.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
