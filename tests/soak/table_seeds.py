"""Create small tables, hostile tables, and random damage: what the readers of tables are fuzzed with.

Imports nothing from this folder, so that a test of the suite can use it too.
"""

from __future__ import annotations

import gzip
import io
import random
import re
from collections.abc import Iterator

# Fragments that tables consist of, or that readers of tables have had trouble with.
FRAGMENTS = (
    *(",", ";", "\t", "|", '"', '""', "\n", "\r\n", "\r", "\x00", "\ufeff", "\u2028", " ", "\\", "#"),
    *("NA", "nan", "inf", "-inf", "1e999", "1e-400", "-0", "0x1F", "1_000", "9" * 400, "True", "yes", "٣", "1,5"),
    *("2024-01-31", "2024-02-30", "9999-12-31", "0001-01-01", "31.01.2024", "2024-01-31T23:59:60Z", "20240131"),
    *("train", "validation", "test", "t", "g", "when", "part", "PAR1", "\x1f\x8b"),
)
# The settings that a table is read with; each column is in the seeds.
SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"group": "g"},
    {"time": "when", "folds": 3},
    {"split_column": "part"},
    {"columns": {"n": "categorical", "g": "numeric", "when": "date"}, "validation": 0.2},
    {"missing": (), "limit": 3, "test": 0.5},
)
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".parquet")


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield the suffix and the content of tables: some that can be read, and some that resemble them."""
    for delimiter in ",;\t|":
        yield ".csv", _delimited(delimiter).encode()
    whole = _delimited(",")
    for change in (
        whole.replace("\n", "\r\n"), "\ufeff" + whole, whole.replace("n,g", "n,n"), whole.replace("n,g", '"n\nm",g'),
        whole + ",,,\n", whole + "1\n", whole + '"1,2', whole.replace("1,", "\x00,"), whole.replace("a\n", "\n"),
        "\n\n" + whole, whole.partition("\n")[0], "t\n" + "a\nb\n" * 20, whole + ("x" * 70_000) + ",1,1,1,a\n",
    ):  # fmt: skip
        yield ".csv", change.encode()
    for encoding in ("utf-16", "latin-1", "utf-32"):
        yield ".csv", ("é" + whole).encode(encoding)
    yield ".tsv", _delimited("\t").encode()
    zipped = gzip.compress(whole.encode(), mtime=0)
    for content in (zipped, zipped[:-9], zipped + b"x", zipped + zipped, zipped[:10], whole.encode()):
        yield ".csv.gz", content
    for content in _parquets():
        yield ".parquet", content


def _delimited(delimiter: str) -> str:
    rows = [("n", "g", "when", "part", "t")]
    for number in range(40):
        part = ("train", "train", "val", "test")[number % 4]
        when = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}"
        rows.append((str(number / 4), f"{number % 7:03}", when, part, "ab"[number % 2]))
    return "".join(delimiter.join(row) + "\n" for row in rows)


def _parquets() -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet

    n_rows = 40
    whole = {
        "n": [number / 4 for number in range(n_rows)],
        "g": [number % 7 for number in range(n_rows)],
        "when": pa.array(range(n_rows), type=pa.timestamp("s")),
        "part": ["train", "train", "val", "test"] * 10,
        "t": ["a", "b"] * 20,
    }
    odd = {
        "list": [[1]] * n_rows,
        "map": [{"a": 1}] * n_rows,
        "bytes": [b"\xff\x00"] * n_rows,
        "decimal": pa.array([1] * n_rows).cast(pa.decimal128(30, 2)),
        "far": pa.array([2**60] * n_rows, type=pa.timestamp("us")),
        "day": pa.array([-(2**31)] * n_rows, type=pa.date32()),
        "duration": pa.array(range(n_rows), type=pa.duration("ns")),
        "null": pa.nulls(n_rows),
        "half": pa.array([1.0] * n_rows).cast(pa.float16()),
        "large": pa.array([2**64 - 1] * n_rows, type=pa.uint64()),
    }
    tables = [whole, *({**whole, name: values} for name, values in odd.items())]
    tables += [{**whole, key: values} for key in ("t", "when") for values in odd.values()]
    for columns in [*tables, {name: values[:0] for name, values in whole.items()}]:
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(columns), buffer)
        yield buffer.getvalue()


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Return the content with one to four changes: bytes changed, removed or repeated, or fragments inserted.

    Of every second table of text, only cells are replaced, so that what is read after its lines is reached.
    """
    if content[:4] != b"PAR1" and content[:2] != b"\x1f\x8b" and generator.random() < 0.5:
        cells = re.split(rb"([,;\t|\n])", content)
        for _ in range(generator.randint(1, 4)):
            cells[2 * generator.randrange((len(cells) + 1) // 2)] = generator.choice(FRAGMENTS).encode()
        return b"".join(cells)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice((1, 2, 8, 64)))
        middle = generator.choice(
            (
                b"",
                content[start:end] * 2,
                generator.randbytes(end - start),
                generator.choice(FRAGMENTS).encode(),
                generator.choice(FRAGMENTS).encode() + content[start:end],
            )
        )
        content = content[:start] + middle + content[end:]
    return content
