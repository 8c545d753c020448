"""Data that are prepared as a run did it: split like the run if they are its own, else whole."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.load import preprocessing_of
from mlcli.data.own import own_dataset, stored_dataset

N_SAMPLES = 40


def written(path, n_samples=N_SAMPLES, seed=0):
    x = np.random.default_rng(seed).normal(size=(n_samples, 2))
    y = np.arange(n_samples) % 2
    if path.suffix == ".npz":
        np.savez(path, x=x, y=y)
    else:
        path.write_text("\n".join(["a,b,t", *(f"{a!r},{b!r},{t}" for (a, b), t in zip(x.tolist(), y, strict=True))]))
    return DatasetConfig(path=str(path), target=None if path.suffix == ".npz" else "t", limit=10, scaling="none")


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_other_content_is_not_split(suffix, tmp_path):
    config = written(tmp_path / f"t.{suffix}")
    of_run = own_dataset(config)
    preprocessing, digest = preprocessing_of(of_run), of_run.fingerprint
    same = stored_dataset(config, preprocessing, digest)
    assert (same.split_digest, len(same.test)) == (of_run.split_digest, 8)
    other = written(tmp_path / f"other.{suffix}", 25, seed=1)
    whole = stored_dataset(other, preprocessing, digest)
    assert whole.test is whole.train
    assert len(whole.test) == 25
    assert not any("test scores" in note for note in whole.notes)
    assert len(stored_dataset(other, preprocessing).test) == 5
