"""A Python process without mlcli that runs the code that `convert` prints, shared by all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from threading import Timer

import numpy as np
import pytest

ALONE = """
import json, sys, traceback
sys.modules["mlcli"] = None  # so that importing it fails
sys.modules["matplotlib"] = None  # which Keras would import, for nothing
import numpy as np

for line in sys.stdin:
    given = json.loads(line)
    names = {name: np.load(path) for name, path in given["arrays"].items()}
    try:
        exec(given["code"], names)
        if "predictions" in names:
            table = names["predictions"]
            labels, scores = table["class_name"], table.filter(like="probability_").values
        else:
            labels, scores = names["labels"], names.get("scores")
        found = [labels.tolist(), None if scores is None else scores.tolist()]
    except Exception:
        found = traceback.format_exc()
    print(json.dumps(found), flush=True)
"""


@pytest.fixture(scope="session")
def run_alone(tmp_path_factory):
    """Return a function that runs code and returns its labels and scores; arrays: those that it finds, by name."""
    folder = tmp_path_factory.mktemp("alone")
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", ALONE],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )

    def run(code, **arrays):
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        request = {"code": code, "arrays": {name: str(folder / f"{name}.npy") for name in arrays}}
        limit = Timer(120, process.kill)
        limit.start()
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        found = json.loads(process.stdout.readline())
        limit.cancel()
        assert not isinstance(found, str), found
        return found

    yield run
    process.kill()
    process.wait()
