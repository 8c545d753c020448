"""The rows of the benchmark table: what is compared with which baselines, and the allowed ratio.

The rows of a family are measured in the same rounds, one contestant after the other, so that a change in the speed of
the machine affects all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """A comparison of one contestant of mlcli with one or more baselines.

    The ratio of `ours` to the best of `theirs` must be at most `allowed`, or below it if is_strict.
    """

    name: str
    work: str
    ours: str
    theirs: tuple[str, ...]
    allowed: float
    is_strict: bool = False
    figure: Literal["seconds", "peak_bytes"] = "seconds"


@dataclass(frozen=True)
class Family:
    """Rows that are measured in the same rounds. repeats: the number of rounds without --repeats."""

    name: str
    rows: tuple[Row, ...]
    repeats: int
    needs_fashion: bool = True

    @property
    def contestants(self) -> tuple[str, ...]:
        """Return the names of all contestants without duplicates, in the order of the rows."""
        return tuple(dict.fromkeys(name for row in self.rows for name in (row.ours, *row.theirs)))


@dataclass(frozen=True)
class ImportsRow:
    """A command that must load none of these packages."""

    name: str
    work: str
    arguments: tuple[str, ...]
    forbidden: tuple[str, ...]


_EPOCH = "steady epoch, Fashion-MNIST 784-512-10, RMSprop, batch 128"
_PROCESS = "train --backend torch --dataset fashion --epochs 1, whole process"
_TORCH, _KERAS = "mlcli_engines:torch_epochs", "mlcli_engines:keras_epochs"
_SCRIPT = ("script_fashion.py",)


def _competitor(name: str) -> Row:
    """Return a row that compares the torch engine with a library that wraps the training loop."""
    return Row(
        f"torch-{name}", f"{_EPOCH}: {name}", _TORCH, (f"competitors:{name}_epochs",), allowed=1.0, is_strict=True
    )


FAMILIES = (
    Family(
        "help",
        (Row("help-time", "mlcli --help: a bare typer application", "mlcli --help", ("bare.py --help",), 1.3),),
        repeats=15,
        needs_fashion=False,
    ),
    Family(
        "train",
        (
            Row("train-time", f"{_PROCESS}: a plain script", "mlcli train", _SCRIPT, 1.25),
            Row(
                "train-memory",
                f"{_PROCESS}, peak RSS: a plain script",
                "mlcli train",
                _SCRIPT,
                1.25,
                figure="peak_bytes",
            ),
        ),
        repeats=7,
    ),
    Family(
        "torch",
        (
            Row(
                "torch-handwritten",
                f"{_EPOCH}: the best handwritten loop over tensors in memory",
                _TORCH,
                (
                    "handwritten_torch:bytes_gathered_by_epoch",
                    "handwritten_torch:bytes_gathered_by_epoch_single_tensor",
                    "handwritten_torch:bytes_gathered_by_batch",
                    "handwritten_torch:floats_gathered_by_batch",
                    "handwritten_torch:fused_adam_without_mean",
                    "handwritten_torch:manual_update",
                ),
                1.03,
            ),
            Row(
                "torch-tutorial",
                f"{_EPOCH}: the training loop of the tutorials",
                _TORCH,
                ("tutorial_torch:tutorial_epochs",),
                0.40,
            ),
            _competitor("lightning"),
            _competitor("skorch"),
            _competitor("accelerate"),
            _competitor("fastai"),
        ),
        repeats=5,
    ),
    Family(
        "checkpoints",
        (
            Row(
                "checkpoints",
                "5 epochs, Fashion-MNIST 784-512-10, RMSprop, batch 128, default checkpoints: the epochs alone",
                "mlcli_training:epochs_with_checkpoints",
                ("mlcli_training:epochs_alone",),
                1.02,
            ),
        ),
        repeats=7,
    ),
    Family(
        "keras",
        (
            Row(
                "keras-arrays",
                f"{_EPOCH}: the best fit on arrays in memory",
                _KERAS,
                (
                    "handwritten_keras:float_arrays",
                    "handwritten_keras:float_tensors",
                    "handwritten_keras:byte_tensors",
                    "handwritten_keras:loader_of_batches",
                    "handwritten_keras:loader_with_callback",
                    "handwritten_keras:float_generator",
                    "handwritten_keras:byte_generator",
                ),
                1.05,
            ),
            Row(
                "keras-tutorial",
                f"{_EPOCH}: fit on the DataLoader of the tutorials",
                _KERAS,
                ("handwritten_keras:tutorial_fit",),
                0.60,
            ),
        ),
        repeats=5,
    ),
    Family(
        "sklearn",
        (
            Row(
                "sklearn-logistic",
                "logistic regression on Fashion-MNIST, 100 iterations: bare LogisticRegression.fit",
                "mlcli_engines:logistic_fits",
                ("handwritten_sklearn:bare_fits",),
                1.02,
            ),
        ),
        repeats=5,
    ),
    Family(
        "images",
        (
            Row(
                "image-folder",
                "20,000 JPEG images of 64x64 in folders, prepared once: torchvision's ImageFolder and a DataLoader",
                "image_folders:preparation",
                ("image_folders:image_folder_loader",),
                1.11,
            ),
        ),
        repeats=5,
    ),
)

_TABLE = "a table of 200,000 x 50, numbers, texts and missing values"
FAMILIES += (
    Family(
        "tables",
        (
            Row(
                "table-prepare",
                f"train --backend torch --epochs 1, {_TABLE}, first start: pandas, a pipeline and a loop by hand",
                "mlcli train table",
                ("script_table.py",),
                1.1,
            ),
            Row(
                "table-memory",
                "the same, peak RSS",
                "mlcli train table",
                ("script_table.py",),
                0.6,
                figure="peak_bytes",
            ),
            Row("table-second-start", "the same, second start", "mlcli train table again", ("script_table.py",), 0.1),
            Row(
                "table-predict",
                f"predict --output .csv, {_TABLE}: pandas and a pipeline by hand",
                "mlcli predict table",
                ("script_table_predict.py",),
                1.2,
            ),
        ),
        repeats=3,
        needs_fashion=False,
    ),
)

_HEAVY = ("torch", "keras", "sklearn", "torchvision", "pandas", "matplotlib", "scipy", "numpy")

IMPORTS = (
    ImportsRow("help-imports", "mlcli --help", ("--help",), _HEAVY),
    ImportsRow(
        "iris-imports",
        "train --dataset iris --backend sklearn",
        ("train", "--dataset", "iris", "--backend", "sklearn", "--model", "logistic"),
        ("torch", "keras"),
    ),
)

ROW_NAMES = tuple(row.name for family in FAMILIES for row in family.rows) + tuple(row.name for row in IMPORTS)


def chosen_families(wanted: list[str]) -> tuple[Family, ...]:
    """Return the families, reduced to the rows whose name begins with a wanted prefix; all rows if none is given."""
    families = [
        Family(
            family.name,
            tuple(row for row in family.rows if is_wanted(row.name, wanted)),
            family.repeats,
            family.needs_fashion,
        )
        for family in FAMILIES
    ]
    return tuple(family for family in families if family.rows)


def is_wanted(name: str, wanted: list[str]) -> bool:
    return not wanted or any(name.startswith(prefix) for prefix in wanted)
