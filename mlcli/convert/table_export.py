"""The export of a model of a person's own table: with its preparation, so that it predicts from the rows as they are.

A model of numbers comes with two files: `NAME.json`, the preparation that is stored in the run, and `NAME.py`, a script
that prepares a table and predicts its classes. A model of columns, as in ONNX, prepares them itself.
"""

from __future__ import annotations

import runpy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mlcli.convert import preparation
from mlcli.convert.formats import ScoreKind, TrainedModel, Usage
from mlcli.data.own.encoding import cannot_be, encode
from mlcli.data.own.table import encoded_file, present_columns
from mlcli.data.own.table_file import located
from mlcli.errors import MlcliError
from mlcli.experiment.stored_run import StoredRun
from mlcli.files import disk_errors
from mlcli.records import Scores, TableEncoding
from mlcli.runs.formats import preprocessing_document
from mlcli.text import first_line, to_json

if TYPE_CHECKING:
    import pandas as pd

SCRIPT_SUFFIXES = (".py", ".json")
_N_VERIFIED_ROWS = 10_000
_PROBABILITIES: dict[ScoreKind, str] = {"logits": "softmax(scores)", "probabilities": "scores", "labels": "None"}
Predict = Callable[["pd.DataFrame"], "pd.DataFrame"]  # from rows to `class_name` and `probability_...`


@dataclass(frozen=True)
class ConvertedModel:
    """The content of a file, the code for it at a path that is given as code, and the network if it has one."""

    content: bytes
    usage: Callable[[str], Usage]
    trained: TrainedModel | None = None


@dataclass(frozen=True)
class TableExport(ABC):
    """A model, what is written next to it, by suffix, and the Python code that predicts the rows of the table."""

    model: ConvertedModel
    usage: str
    class_names: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    limits: ClassVar[str] = ""  # why predictions may differ from those of the run, and what to do

    def written(self, path: Path) -> Predict:
        """Write all files and return the function that predicts with them. All of its code comes from mlcli."""
        with disk_errors(path, len(self.model.content)):
            path.write_bytes(self.model.content)
            for suffix, content in self.files.items():
                path.with_suffix(suffix).write_bytes(content)
        return self._loaded(path)

    @abstractmethod
    def _loaded(self, path: Path) -> Predict:
        """Return the function that predicts with the files at a path."""


class ScriptExport(TableExport):
    """A model of scaled features, with a script and the preparation."""

    @classmethod
    def of(cls, run: StoredRun, model: ConvertedModel, output: Path) -> Self:
        """Return the export of the model of a run."""
        source = Path(preparation.__file__).read_text(encoding="utf-8")
        contents = (
            f"{source}{_script_end(model.usage, output.name)}",
            to_json(preprocessing_document(run.preprocessing)),
        )
        script = output.with_suffix(".py")
        lines = f"""\
# In a shell: python {script} TABLE PREDICTIONS.csv
import runpy

model = runpy.run_path({str(script)!r})
predictions = model["predict_file"]({run.config.dataset.path!r})
"""
        files = {suffix: text.encode() for suffix, text in zip(SCRIPT_SUFFIXES, contents, strict=True)}
        return cls(model, lines, run.preprocessing.class_names, files)

    def _loaded(self, path: Path) -> Predict:
        predict: Predict = runpy.run_path(str(path.with_suffix(".py")))["predict"]
        return predict


def _script_end(usage: Callable[[str], Usage], name: str) -> str:
    code = usage(f"str(FOLDER / {name!r})")
    return f'''

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PREPARATION = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

{code.load}

def predict(table: pd.DataFrame) -> pd.DataFrame:
    """Return the predicted class of each row of a table, and the probability of each class."""
    x = features(table, PREPARATION)
{indent(code.score, "    ")}    return predictions(labels, {_PROBABILITIES[code.kind]}, PREPARATION)


def predict_file(path: str) -> pd.DataFrame:
    """Return what `predict` returns, for the rows of a file."""
    return predict(read_table(path, PREPARATION))


if __name__ == "__main__":
    predict_file(sys.argv[1]).to_csv(sys.argv[2] if len(sys.argv) > 2 else sys.stdout, index=False)
'''


class ColumnsExport(TableExport):
    """A model that takes the columns of a table as they are."""

    limits = "\nit cannot match texts over 100 characters or with control characters; use --to sklearn, torch or keras"

    @classmethod
    def of(cls, run: StoredRun, model: ConvertedModel, output: Path) -> Self:
        """Return the export of the model of a run; its code begins with the line that reads the table."""
        code, path = model.usage(repr(str(output))), run.config.dataset.path or ""
        options = {} if path.lower().endswith(".parquet") else _reading_options(path, run.preprocessing.encoding)
        reader = "read_csv" if options else "read_parquet"
        arguments = ", ".join([repr(path), *(f"{name}={value!r}" for name, value in options.items())])
        lines = f"{code.load}table = pd.{reader}({arguments})\n{code.score}"
        return cls(model, lines, run.preprocessing.class_names)

    def _loaded(self, path: Path) -> Predict:
        code = self.model.usage(repr(str(path)))
        names: dict[str, Any] = {}
        exec(code.load, names)

        def predict(table: pd.DataFrame) -> pd.DataFrame:
            names["table"] = table.copy()
            exec(code.score, names)
            labels = [self.class_names.index(label) for label in names["labels"]]
            return preparation.predictions(labels, names["scores"], {"class_names": self.class_names})

        return predict


def _reading_options(path: str, encoding: TableEncoding | None) -> dict[str, Any]:
    """Return what pandas.read_csv must be told to read a table as mlcli does."""
    import pandas as pd

    columns = encoding.columns if encoding else ()
    texts = [column.name for column in columns if column.kind != "numeric"]
    has_header = encoding is None or encoding.has_header
    names, delimiter = preparation.columns_of(path, has_header)
    has_names = has_header and pd.read_csv(path, sep=delimiter, nrows=0).columns.tolist() == names
    return {
        **({"sep": delimiter} if delimiter != "," else {}),
        **({} if has_names else {"names": names, "header": 0 if has_header else None}),
        "dtype": dict.fromkeys(texts, "str"),
        "na_values": list(encoding.missing if encoding else ()),
        "keep_default_na": False,
    }


def check_rows(
    run: StoredRun,
    export: TableExport,
    path: Path,
    predicted: Callable[[NDArray[np.float64]], Scores],
    tolerance: float,
) -> None:
    """Compare the predictions of an export, from the first rows of the table as they are, with those of the run.

    path: where the model is written for that. predicted: the scores of the engine of the run for features that are not
    scaled. MlcliError for a probability that differs by more than the tolerance, and for a class that differs if the
    model has no probabilities.
    """
    encoding = run.preprocessing.encoding
    assert encoding is not None
    source, is_skipping = Path(run.config.dataset.path or ""), run.config.dataset.on_bad == "skip"
    usable = _first_rows(source, encoding, is_skipping=is_skipping)
    expected = predicted(encode(usable, encoding))
    predict = export.written(path)
    try:
        document = preprocessing_document(run.preprocessing)
        rows = usable if is_skipping else preparation.read_table(str(source), document, _N_VERIFIED_ROWS)
        found = predict(rows)
    except Exception as error:  # of any library, for values that it reads in another way
        raise MlcliError(f"nothing was written: the export cannot predict {source}: {first_line(error)}") from error
    names = run.preprocessing.class_names
    if expected.probabilities is not None and len(found.columns) > 1:
        difference = np.abs(found.iloc[:, 1:].to_numpy(dtype=np.float64) - expected.probabilities).max()
        is_different = not difference <= tolerance
    else:
        is_different = found["class_name"].tolist() != [names[label] for label in expected.labels.tolist()]
    if is_different:
        raise MlcliError(
            f"nothing was written: the export predicts rows of {source} in another way than the run{export.limits}"
        )


def _first_rows(path: Path, encoding: TableEncoding, *, is_skipping: bool) -> pd.DataFrame:
    """Return the first rows of a table, without those that cannot be encoded if a run skips them."""
    file = replace(encoded_file(path, encoding, is_trusted=True), skips_bad=is_skipping)
    with located(file):
        rows = next(iter(file.read(present_columns(file, encoding), _N_VERIFIED_ROWS)))
    if not is_skipping:
        return rows
    is_bad = np.any([cannot_be(rows[column.name], column.kind) for column in encoding.columns], axis=0)
    usable: pd.DataFrame = rows[~is_bad].reset_index(drop=True)
    return usable
