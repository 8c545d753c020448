"""Train a network for one epoch on a table with pandas, scikit-learn and torch, as one does by hand.

python script_table.py FOLDER     reads table.csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def pipeline(rows: pd.DataFrame) -> ColumnTransformer:
    """Return the preparation that mlcli documents."""
    numbers = rows.select_dtypes("number").columns
    texts = [name for name in rows.columns if name not in set(numbers)]
    filled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(
        min_frequency=5, max_categories=100, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    return ColumnTransformer([("numbers", filled, numbers), ("texts", encoder, texts)])


def main(folder: Path) -> None:
    import torch

    rows = pd.read_csv(folder / "table.csv")
    y = rows.pop("label").astype("category").cat.codes.to_numpy()
    train, test, y_train, y_test = train_test_split(rows, y, test_size=0.2, stratify=y, random_state=0)
    preparation = pipeline(train)
    x = torch.from_numpy(preparation.fit_transform(train).astype(np.float32))
    x_test = torch.from_numpy(preparation.transform(test).astype(np.float32))
    classes = torch.from_numpy(y_train.astype(np.int64))
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    optimizer = torch.optim.Adam(model.parameters())
    for batch in torch.randperm(len(x)).split(128):
        loss = torch.nn.functional.cross_entropy(model(x[batch]), classes[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        print((model(x_test).argmax(1).numpy() == y_test).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
