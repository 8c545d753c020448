"""Write a table, and what predicts its classes: a run of mlcli, and a pipeline of scikit-learn.

python table_files.py FOLDER     writes table.csv, table-run and pipeline.pickle
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from script_table import pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

N_ROWS = 200_000
_N_FITTED = 20_000  # rows; fitting is not measured


def table() -> pd.DataFrame:
    """Return 43 columns of numbers, some with missing values, 6 of texts, and the labels."""
    generator = np.random.default_rng(0)
    y = generator.integers(3, size=N_ROWS)
    columns: dict[str, object] = {}
    for index in range(38):
        values = generator.normal(size=N_ROWS) + (0.3 * y if index < 5 else 0)
        if index % 4 == 0:
            values[generator.random(N_ROWS) < 0.05] = np.nan
        columns[f"number{index}"] = values.round(6) if index % 2 else values
    columns |= {f"count{index}": generator.integers(1000, size=N_ROWS) for index in range(5)}
    for index in range(6):
        columns[f"text{index}"] = [f"value {code}" for code in generator.integers(5 + 8 * index, size=N_ROWS)]
    return pd.DataFrame(columns | {"label": np.array(["low", "mid", "high"])[y]})


def main(folder: Path) -> None:
    rows = table()
    rows.to_csv(folder / "table.csv", index=False)
    first = rows.iloc[:_N_FITTED]
    first.to_csv(folder / "first.csv", index=False)
    features = first.drop(columns="label")
    fitted = make_pipeline(pipeline(features), LogisticRegression(max_iter=50)).fit(features, first["label"])
    (folder / "pipeline.pickle").write_bytes(pickle.dumps(fitted))
    mlcli = [str(Path(sys.executable).with_name("mlcli")), "train", "--data", str(folder / "first.csv")]
    options = ["--target", "label", "--backend", "sklearn", "--model", "logistic", "--quiet"]
    out = ["--out", str(folder / "table-run"), "--data-dir", str(folder / "tables")]
    subprocess.run([*mlcli, *options, *out], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
