"""From the columns of a table to features: the kind of each column, and an encoding fitted on the training rows.

A column whose training values are all numbers is numeric, always. Otherwise one of true and false, or yes and no, is
boolean; one of dates (see `dates.py`) is a date; one in which every value is rare, as in ids and free text, is ignored;
any other is categorical. A column in which at least half of the training values are numbers, but not all, is refused.

The features are those of scikit-learn's SimpleImputer(strategy="median", add_indicator=True) and
OneHotEncoder(min_frequency=MIN_CATEGORY_ROWS, max_categories=MAX_CATEGORIES, handle_unknown="infrequent_if_exist"). A
missing date is the median date, with an indicator too. In the form "codes", missing values stay missing, and texts are
the numbers of OrdinalEncoder with the same limits.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.dates import DAY_SECONDS, EXAMPLES, UNKNOWN_ORDER, date_order, date_parts, date_seconds, known_order
from mlcli.errors import DataError
from mlcli.records import ColumnKind, EncodingForm, TableColumn, TableEncoding
from mlcli.text import escaped, is_number, listed

if TYPE_CHECKING:
    import pandas as pd

    from mlcli.data.own.column_store import ColumnStore

MIN_CATEGORY_ROWS = 5  # a value in fewer training rows is rare
MAX_CATEGORIES = 100  # per column, the feature of all others included
MAX_FEATURES = 2000
MAX_VALUE = 1e18  # engines compute in float32
_BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
DECIMAL_COMMAS = "holds numbers with commas; write them like 1234.5, or set its kind"
_COMMA_NUMBER = re.compile(r"\s*[-+]?\d+(?:[.,]\d{3})*,\d+\s*\Z")
MAX_TEXT = 100  # characters of a category or label
_N_DIGITS = 16  # of the digest in a category that was shortened
_N_SHOWN = 6


def column_kind(values: pd.Series) -> ColumnKind | str:
    """Return the kind of a column by its training values, or why it is ignored, which begins with a verb.

    DataError for a column that mixes numbers and texts.
    """
    present = values.dropna()
    if present.empty:
        return "has no value in the training rows"
    if present.dtype.kind == "M":
        return "date"
    numbers = numbers_of(present)
    n_numbers = int(np.isfinite(numbers).sum())
    if n_numbers == len(present):
        return "numeric"
    texts = present.astype(str)
    if 2 * n_numbers >= len(present):
        odd = texts[~np.isfinite(numbers)].iloc[0]
        raise DataError(
            f"column {values.name!r}: {n_numbers:,} of {len(present):,} training values are numbers, and others are "
            f"not, e.g. {escaped(odd, MAX_TEXT)!r}\nadd that text to dataset.missing if it stands for a missing "
            "value, set dataset.columns, e.g. {" + f"{values.name}: categorical" + "}, or leave these rows out with "
            "--on-bad skip"
        )
    if set(texts.str.lower().unique()) <= set(_BOOLEANS):
        return "boolean"
    if order := date_order(texts.unique()):
        return order if order == UNKNOWN_ORDER else "date"
    if has_decimal_commas(texts.unique()):
        return DECIMAL_COMMAS
    if texts.value_counts().iloc[0] < MIN_CATEGORY_ROWS:
        return f"has no value in {MIN_CATEGORY_ROWS} training rows or more, as ids and free text"
    return "categorical"


def has_decimal_commas(texts: Iterable[str]) -> bool:
    """Return whether all texts are numbers and some have a comma, as in 0,5 or 1.234,5."""
    has_comma = False
    for text in texts:
        if _COMMA_NUMBER.match(text):
            has_comma = True
        elif not is_number(text):
            return False
    return has_comma


def fit_encoding(
    training: pd.DataFrame | ColumnStore,
    kinds: Mapping[str, ColumnKind],
    target: str,
    missing: Sequence[str],
    form: EncodingForm = "one-hot",
    *,
    has_header: bool = True,
) -> TableEncoding:
    """Return the encoding fitted on training rows; kinds: of the columns that are used, in order.

    DataError for values that are not of the kind of their column, and for too many features.
    """
    columns = tuple(_fit_column(training[name], kind, form) for name, kind in kinds.items())
    n_features = sum(len(column.features) for column in columns)
    if n_features > MAX_FEATURES:
        widest = max(columns, key=lambda column: len(column.features))
        raise DataError(
            f"{n_features:,} features, and a table may have {MAX_FEATURES:,}; column {widest.name!r} alone has "
            f"{len(widest.features)}\nignore columns with dataset.columns, e.g. {{{widest.name}: ignore}}"
        )
    return TableEncoding(target, tuple(missing), columns, has_header)


def _fit_column(values: pd.Series, kind: ColumnKind, form: EncodingForm) -> TableColumn:
    name = str(values.name)
    if kind == "categorical" and form == "codes":
        categories, has_other = _categories(values.dropna())
        return TableColumn(name, kind, categories=categories, has_other=has_other, is_coded=True)
    if kind == "categorical":
        categories, has_other = _categories(values)
        return TableColumn(name, kind, categories=categories, has_other=has_other)
    column = TableColumn(name, kind, date_order=known_order(values) if kind == "date" else None)
    numbers = column_numbers(values, column)
    is_missing = np.isnan(numbers)
    present = numbers[~is_missing]
    column = replace(column, has_time=kind == "date" and bool((present % DAY_SECONDS).any()))
    if form == "codes":
        return column
    fill = float(np.median(present)) if len(present) else 0.0
    return replace(column, fill=fill, has_indicator=bool(is_missing.any()))


def _categories(values: pd.Series) -> tuple[tuple[str | None, ...], bool]:
    """Return the categories that are not rare, sorted, a missing value last; and whether there are rare ones."""
    counts: Counter[str | None] = Counter()
    for value, n_rows in values.value_counts(dropna=False).items():
        counts[text_of(value)] += n_rows
    names = sorted(counts, key=lambda text: (text is None, text or ""))
    frequent = [name for name in names if counts[name] >= MIN_CATEGORY_ROWS]
    n_most = MAX_CATEGORIES if len(frequent) == len(names) else MAX_CATEGORIES - 1
    if len(frequent) > n_most:  # of categories in equally many rows, those that sort last, as OneHotEncoder does it
        kept = set(sorted(frequent, key=lambda name: counts[name])[-(MAX_CATEGORIES - 1) :])
        frequent = [name for name in frequent if name in kept]
    return tuple(frequent), len(frequent) < len(names)


def text_of(value: Any) -> str | None:
    """Return a category or label as it is stored and compared, safe to print; None if it is missing.

    A whole number is the same text whether a file stores it as an integer or not. A text of more than MAX_TEXT
    characters is shortened and ends in its digest, so that different texts stay different.
    """
    if value is None or value != value:
        return None
    is_whole = isinstance(value, float) and value.is_integer()
    text = str(int(value) if is_whole else value)
    if len(text) > MAX_TEXT:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_N_DIGITS]
        text = f"{text[: MAX_TEXT - len('... ') - _N_DIGITS]}... {digest}"
    return escaped(text)


def encode(table: pd.DataFrame, encoding: TableEncoding, unseen: Counter[str] | None = None) -> NDArray[np.float64]:
    """Return the features of each row, float64 (n, features).

    unseen: receives, by column, the number of values that are none of its categories; without a feature for all others,
    their features are all zero, and a code is missing. DataError for a value that is not of the kind of its column.
    """
    blocks = []
    for column in encoding.columns:
        values = table[column.name]
        if column.kind == "categorical":
            block, n_unseen = _coded(values, column) if column.is_coded else _one_hot(values, column)
            if unseen is not None and n_unseen:
                unseen[column.name] += n_unseen
        else:
            block = _filled(column_numbers(values, column), column)
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _filled(numbers: NDArray[np.float64], column: TableColumn) -> NDArray[np.float64]:
    is_missing = np.isnan(numbers)
    filled = np.where(is_missing, column.fill or 0.0, numbers)
    if column.kind == "date":
        filled = date_parts(filled, has_time=column.has_time)
    block = np.column_stack([filled, is_missing] if column.has_indicator else [filled]).astype(np.float64)
    if column.fill is None:
        block[is_missing] = np.nan
    return block


def _one_hot(values: pd.Series, column: TableColumn) -> tuple[NDArray[np.float64], int]:
    """Return the features, and the number of values that are none of the categories."""
    chosen, otherwise = _positions(values, column), len(column.categories)
    block = np.zeros((len(values), otherwise + 1))
    block[np.arange(len(values)), chosen] = 1.0
    n_unseen = int((chosen == otherwise).sum())
    return (block if column.has_other else block[:, :otherwise]), n_unseen


def _coded(values: pd.Series, column: TableColumn) -> tuple[NDArray[np.float64], int]:
    """Return the only feature, and the number of present values that are none of the categories."""
    chosen, is_missing = _positions(values, column), values.isna().to_numpy()
    is_unseen = (chosen == len(column.categories)) & ~is_missing
    has_no_code = is_missing if column.has_other else is_missing | is_unseen
    return np.where(has_no_code, np.nan, chosen).reshape(-1, 1), int(is_unseen.sum())


def _positions(values: pd.Series, column: TableColumn) -> NDArray[np.int64]:
    """Return the position of each value among the categories, and behind the last for one that is none of them."""
    codes, found = values.factorize(use_na_sentinel=True)
    positions = {text: position for position, text in enumerate(column.categories)}
    by_code = [positions.get(text_of(value), len(positions)) for value in [*found, None]]  # -1 is a missing value
    return np.take(np.array(by_code, dtype=np.int64), codes)


def column_numbers(values: pd.Series, column: TableColumn) -> NDArray[np.float64]:
    """Return numbers, booleans as 0 and 1, or dates in seconds since 1970-01-01, float64 (n,), NaN where missing.

    DataError for any other value.
    """
    kind = column.kind
    if kind == "boolean":
        codes, found = values.factorize(use_na_sentinel=True)
        by_code = [*(_BOOLEANS.get(str(value).lower(), np.inf) for value in found), np.nan]  # -1 is a missing value
        numbers = np.array(by_code, dtype=np.float64).take(codes)
    elif kind == "date":
        numbers = date_seconds(values, column.date_order or "ymd")
    else:
        numbers = numbers_of(values)
    with np.errstate(invalid="ignore"):
        is_wrong = ~(np.abs(numbers) <= MAX_VALUE) & values.notna().to_numpy()
    if is_wrong.any():
        row = int(np.flatnonzero(is_wrong)[0])
        expected = {
            "numeric": f"a number up to {MAX_VALUE:g}",
            "boolean": f"one of {', '.join(_BOOLEANS)}",
            "date": f"a date like {EXAMPLES[column.date_order or 'ymd']}",
        }[kind]
        raise DataError(
            f"row {values.index[row] + 1:,} (from 1), column {values.name!r}: {text_of(values.iloc[row])!r}, expected "
            f"{expected}\ncorrect it, or add the text to dataset.missing if it stands for a missing value"
        )
    return numbers


def cannot_be(values: pd.Series, kind: str | None) -> NDArray[np.bool_]:
    """Return which present values are not of the kind of their column, bool (n,); none for texts and dates.

    kind: None if it is not known; a column in which at least half of the values are numbers is numeric then.
    """
    present = values.notna().to_numpy()
    if kind == "boolean":
        return present & ~values.astype(str).str.lower().isin(_BOOLEANS).to_numpy()
    if kind not in ("numeric", None):
        return np.zeros(len(values), dtype=bool)
    with np.errstate(invalid="ignore"):
        is_wrong: NDArray[np.bool_] = present & ~(np.abs(numbers_of(values)) <= MAX_VALUE)
    is_text = kind is None and 2 * is_wrong.sum() > present.sum()
    return np.zeros(len(values), dtype=bool) if is_text else is_wrong


def numbers_of(values: pd.Series) -> NDArray[np.float64]:
    """Return the values as float64 (n,), NaN where one is missing or not a number."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(values.dtype) or values.dtype.kind in "mM":
        return np.full(len(values), np.nan)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if values.dtype == object:  # pandas counts True as 1, and fails for whole numbers of any length
        values = values.mask(values.map(lambda value: isinstance(value, bool)))
        values = values.map(lambda value: float(str(value)) if isinstance(value, int) else value)
    codes, found = values.factorize(use_na_sentinel=True)
    numbers = pd.to_numeric(pd.Series(found), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.append(numbers, np.nan).take(codes)  # -1 is a missing value


def unseen_notes(unseen: Mapping[str, int]) -> list[str]:
    """Return a note on values of categorical columns that are none of the categories of the training rows."""
    if not unseen:
        return []
    columns = listed([f"{name} ({n:,})" for name, n in unseen.items()], _N_SHOWN)
    return [f"values that are none of the categories of the training rows: {columns}"]
