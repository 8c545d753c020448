"""Predict the classes of a table with pandas and a fitted pipeline of scikit-learn, as one does by hand.

python script_table_predict.py FOLDER     reads table.csv and pipeline.pickle, writes by_hand.csv
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pandas as pd

folder = Path(sys.argv[1])
rows = pd.read_csv(folder / "table.csv")
model = pickle.loads((folder / "pipeline.pickle").read_bytes())
probabilities = model.predict_proba(rows)
predicted = pd.DataFrame(probabilities, columns=[f"probability_{name}" for name in model.classes_])
predicted.insert(0, "class_name", model.classes_[probabilities.argmax(axis=1)])
predicted.to_csv(folder / "by_hand.csv", index=False)
