"""The targets of the Makefile: their variables, and the list of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("train", "train digits_mlp"),
        ("train BACKEND=keras DATASET=fashion", "train --backend keras --dataset fashion"),
        ("train CONFIG=mine.yaml LR=0.1 SEED=3 ARGS=--quiet", "train mine.yaml --lr 0.1 --seed 3 --quiet"),
        ("evaluate", "evaluate last"),
        ("evaluate RUN=2026 BACKEND=torch", "evaluate 2026 --backend torch"),
        ("compare", "compare digits_mlp --backend sklearn,torch,keras --seeds 3"),
        ("compare CONFIG=fashion_cnn SEEDS=5 EPOCHS=2", "compare fashion_cnn --seeds 5 --set training.epochs=2"),
    ],
)
def test_variables_of_make_become_options(arguments, command):
    process = subprocess.run(
        ["make", "-sn", "-o", "venv/.installed", "VENV=venv", *arguments.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.replace("\\\n", "").split() == f"venv/bin/mlcli {command}".split()


def test_make_alone_names_every_target_with_a_line():
    process = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in targets:
        assert re.search(rf"^  make {target}\s+\w+", process.stdout, re.MULTILINE), target
