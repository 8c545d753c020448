"""The section `dataset` of an experiment: registered data by name, or a person's own data by their path."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mlcli.config.layers import OWN_DATA
from mlcli.config.values import (
    Channels,
    ColumnName,
    FilePath,
    FrozenDict,
    ImageSize,
    PositiveInt,
    Section,
    Seed,
    TestPart,
    ValidationPart,
    frozen,
)
from mlcli.records import EncodingForm
from mlcli.registry import DATASETS, DEFAULT_DATASET, TABLE_SUFFIXES, alternatives

if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[tuple(DATASETS)]

ColumnKinds = Annotated[
    dict[ColumnName, Literal["numeric", "boolean", "date", "categorical", "ignore"]], AfterValidator(frozen)
]
DEFAULT_MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None")


class DatasetConfig(Section):
    """The data, and how it is split and scaled. A plain name stands for `{name: NAME}`."""

    name: DatasetName | None = Field(DEFAULT_DATASET, description=f"{alternatives(DATASETS)}; not together with `path`")
    path: FilePath | None = Field(
        None,
        description="your own data: a table (.csv, .tsv, .txt, also .gz, .data, or .parquet), arrays (.npz, .npy), or "
        "a folder of images, .npy or IDX files; relative to this file",
    )
    test_path: FilePath | None = Field(None, description="a file like `path` whose samples are the test split")
    validation_path: FilePath | None = Field(None, description="a file like `path` for the validation split")
    target: ColumnName | None = Field(None, description="the column of the table with the labels")
    header: bool | None = Field(
        None,
        description="whether the first line of a text file names the columns; null: unless it holds a number; without "
        "names they are `column 1`, `column 2` and so on",
    )
    columns: ColumnKinds = Field(
        default_factory=FrozenDict,
        description="kinds of columns that their values do not decide: numeric, boolean, date, categorical or ignore",
    )
    missing: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        DEFAULT_MISSING, description="texts in the table that stand for a missing value"
    )
    encoding: EncodingForm | None = Field(
        None,
        description="one-hot: a feature per category; codes: the category's number, and missing values stay missing; "
        "null: codes for estimators that take categories, else one-hot",
    )
    image_size: ImageSize = Field(
        None,
        description="pixels of a side, or HxW (height x width), to which the images of a folder are resized; "
        "null: their own size if it is one, else 64",
    )
    channels: Channels = Field(
        None, description="1: grey levels; 3: colours; null: 3 if a training image of the folder is coloured"
    )
    on_bad: Literal["stop", "skip"] = Field(
        "stop", description="damaged images or rows of your own data: stop before training, or skip them with a note"
    )
    group: ColumnName | None = Field(
        None, description="the column whose values must not be on both sides of a split, e.g. a patient"
    )
    time: ColumnName | None = Field(
        None, description="the column with numbers or ISO dates; validation and test are the latest rows"
    )
    split_column: ColumnName | None = Field(
        None, description="the column that says train, validation (val, valid) or test for each row"
    )
    test: TestPart = Field(
        "auto",
        description="auto: the dataset's test set, else a stratified fifth; a fraction; train: score the training data",
    )
    validation: ValidationPart = Field(
        None, description="stratified fraction of the training data; test: validate on the test set; null: none"
    )
    folds: Annotated[int, Field(ge=2, le=1000)] | None = Field(
        None, description="test on one of K stratified parts of the training data, and train on the others"
    )
    fold: Annotated[int, Field(ge=0)] = Field(0, description="which of these parts is the test split, from 0")
    scaling: Literal["auto", "none", "unit", "standard"] = Field(
        "auto", description="unit: to [0, 1]; standard: mean 0, deviation 1; auto: unit for images, standard for tables"
    )
    limit: PositiveInt | None = Field(None, description="use only the first N training samples; null: all")
    split_seed: Seed = Field(0, description="seed of the splits; independent of `seed`")

    @model_validator(mode="before")
    @classmethod
    def _without_name(cls, values: Any) -> Any:
        """A path takes the place of the default name."""
        is_own = isinstance(values, dict) and values.get("path") is not None
        return {"name": None, **values} if is_own else values

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        is_table = self.path is not None and self.path.lower().endswith(TABLE_SUFFIXES)
        if self.path is None:
            if self.name is None:
                raise ValueError("a name or a path is required")
            keys = [key for key in OWN_DATA if getattr(self, key) != _default(key)]
            if keys:
                raise ValueError(f"{', '.join(keys)}: only for data of your own: add their path, not {self.name}")
        elif self.name is not None:
            raise ValueError(f"has both the name {self.name} and a path; remove one of them")
        elif is_table and self.target is None:
            raise ValueError("the target is missing: name the column with the labels (--target COLUMN)")
        elif is_table and (self.image_size or self.channels):
            raise ValueError("image_size and channels are for folders of images, and the path is that of a table")
        elif not is_table and self.encoding:
            raise ValueError("encoding is for tables, and the path is that of another kind of data")
        elif self.header is not None and (not is_table or self.path.lower().endswith(".parquet")):
            raise ValueError("header is for tables in text files, and the path is that of another kind of data")
        return self

    @model_validator(mode="after")
    def _valid_fold(self) -> Self:
        if self.folds is None and self.fold:
            raise ValueError(f"fold {self.fold} needs the number of folds: set folds")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} of {self.folds} folds does not exist; they count from 0")
        if self.folds is not None and self.test != "auto":
            raise ValueError("folds and test both choose the test split; remove one of them")
        return self

    @model_validator(mode="after")
    def _one_choice_of_each_split(self) -> Self:
        """A file for a split and a rule that makes it exclude each other."""
        if self.test_path is not None and (self.folds is not None or self.test != "auto"):
            other = "test" if self.folds is None else "folds"
            raise ValueError(f"test_path and {other} both choose the test split; remove one of them")
        if self.validation_path is not None and self.validation is not None:
            raise ValueError("validation_path and validation both choose the validation split; remove one of them")
        return self

    @model_validator(mode="after")
    def _one_split_method(self) -> Self:
        keys = list(self.split_columns)
        if len(keys) > 1:
            raise ValueError(
                f"{' and '.join(keys)} each decide the splits; remove {'one' if len(keys) == 2 else 'two'}"
            )
        if self.split_column is not None and (self.folds is not None or self.test != "auto"):
            other = "test" if self.folds is None else "folds"
            raise ValueError(f"split_column and {other} both choose the test split; remove one of them")
        if keys and self.test_path is not None:
            raise ValueError(f"{keys[0]} and test_path both choose the test split; remove one of them")
        if keys and self.test == "train":
            raise ValueError(f"{keys[0]} has no effect if the test scores are those of the training data (test: train)")
        return self

    @property
    def split_columns(self) -> dict[str, str]:
        """The columns that decide the splits, by key: `group`, `time` and `split_column`, those that are set."""
        columns = {"group": self.group, "time": self.time, "split_column": self.split_column}
        return {key: name for key, name in columns.items() if name is not None}

    @property
    def split_method(self) -> str | None:
        """How a column decides the splits, as a text; None if the labels do."""
        texts = {"group": "by groups of", "time": "in time, by", "split_column": "by column"}
        return next((f"{texts[key]} {name}" for key, name in self.split_columns.items()), None)

    @property
    def label(self) -> str:
        """The name of the data: as registered, or from the file, of letters, digits, dots, dashes and underscores."""
        if self.path is None:
            return self.name or ""
        return (
            re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(os.path.abspath(self.path)).name.partition(".")[0]).strip("_-")
            or "table"
        )[:40]


def _default(key: str) -> Any:
    return DatasetConfig.model_fields[key].get_default(call_default_factory=True)
