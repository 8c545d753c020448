"""From the labels of a person's own data to classes: labels are texts, and each different text is a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.encoding import MAX_TEXT, text_of
from mlcli.errors import DataError
from mlcli.text import escaped, is_number, listed

MAX_CLASSES = 1000
_N_SHOWN = 6
_N_SHOWN_CHARACTERS = 40
_REGRESSION = "to predict a number is regression, which mlcli does not do"


@dataclass(frozen=True)
class Labels:
    """The class of each sample. y: int64 (n,), positions in class_names."""

    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def label_text(value: Any) -> str:
    """Return a label as it is stored and compared; DataError for a text of more than MAX_TEXT characters."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise DataError(
            f"a label of {len(value):,} characters, {escaped(value, _N_SHOWN_CHARACTERS)!r}; use labels of at most "
            f"{MAX_TEXT} characters"
        )
    return text_of(value) or ""


def new_labels(codes: NDArray[np.int64], texts: Sequence[str], *, has_test_file: bool) -> Labels:
    """Return the classes of training data. codes: int64 (n,), the position in `texts` of each label.

    Classes are sorted by their numbers if all are numbers, else as text. A class with one sample is possible only if
    the test samples are in a file of their own. DataError for classes that cannot be learned.
    """
    counts = Counter[str]()
    for text, n_samples in zip(texts, np.bincount(codes, minlength=len(texts)).tolist(), strict=True):
        counts[text] += n_samples
    names = sorted_labels(counts)
    _check_classes(counts, names, least=1 if has_test_file else 2)
    return Labels(_positions(codes, texts, names), tuple(names), tuple(similar_labels(names)))


def known_labels(codes: NDArray[np.int64], texts: Sequence[str], class_names: tuple[str, ...], owner: str) -> Labels:
    """Return labels as existing classes; DataError for labels that are none of them. owner: whose classes they are."""
    unknown = [repr(text) for text in dict.fromkeys(texts) if text not in class_names]
    if unknown:
        raise DataError(f"labels that are no classes of the {owner}: {listed(unknown, _N_SHOWN)}")
    return Labels(_positions(codes, texts, class_names), class_names)


def _positions(codes: NDArray[np.int64], texts: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    positions = {name: position for position, name in enumerate(names)}
    return np.array([positions[text] for text in texts], dtype=np.int64)[codes]


def sorted_labels(texts: Iterable[str]) -> list[str]:
    """Return labels by their numbers if all are numbers, else in the order of their characters."""
    try:
        return sorted(texts, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(texts)


def _check_classes(counts: Counter[str], names: Sequence[str], least: int) -> None:
    if len(names) == 1:
        raise DataError(f"the target has one class, {names[0]!r}; a classifier needs two or more")
    check_n_classes(len(names))
    rare = [repr(name) for name in names if counts[name] < least]
    if rare:
        is_regression = 2 * len(rare) > len(names) and all(map(is_number, names))
        raise DataError(
            f"classes with one row, which cannot be in both training and test data: {listed(rare, _N_SHOWN)}\n"
            f"{_REGRESSION if is_regression else 'remove these rows, or join them with another class'}"
        )


def check_n_classes(n_classes: int) -> None:
    """DataError for more classes than are supported."""
    if n_classes > MAX_CLASSES:
        raise DataError(
            f"the target has {n_classes:,} different values, and at most {MAX_CLASSES:,} classes are supported; "
            f"{_REGRESSION}"
        )


def similar_labels(names: Sequence[str]) -> list[str]:
    """Return a note if labels differ only in case or blanks."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), []).append(repr(name))
    similar = [" and ".join(group) for group in groups.values() if len(group) > 1]
    text = f"labels that differ only in case or blanks are different classes: {listed(similar, _N_SHOWN)}"
    return [text] if similar else []
