"""`mlcli predict`: options and output."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

from mlcli.predict import INPUT_SUFFIXES
from mlcli.predict.readers import READERS


def test_the_help_lists_every_reader():
    assert tuple(READERS) == INPUT_SUFFIXES


def test_prediction_on_npy_imports_no_pandas(digits_copy, digits_run, tmp_path):
    np.save(tmp_path / "x.npy", digits_run.load_dataset().test.x)
    arguments = ["predict", str(digits_copy), "-i", "x.npy", "-o", "out.csv", "-f", "json"]
    code = (
        f"import sys\nfrom mlcli.cli.app import app\napp({arguments!r}, standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout)["n_samples"] == len(digits_run.load_dataset().test)
    assert not {"pandas", "pyarrow", "sklearn", "keras", "PIL", "matplotlib"} & set(done.stderr.split())


def test_an_unknown_output_is_refused_with_the_possible_ones(cli, digits_copy, tmp_path):
    (tmp_path / "x.npy").touch()
    done = cli("predict", digits_copy, "-i", "x.npy", "-o", "out.npz")
    assert done.returncode == 2
    assert "use .csv, .parquet or .json" in done.stderr
