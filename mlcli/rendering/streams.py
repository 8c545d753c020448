"""Standard output and error that never raise: encodings without some characters, full disks, readers that are gone."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TextIO

_REPLACING = "mlcli.replacing"  # an error handler of codecs
_LOOKALIKES = {"±": "+/-", "·": ".", "×": "x", "µ": "u", "–": "-", "—": "-", "…": "..."}
NARROWEST = 40  # columns; in fewer, tables lose values, and rich fails in the end
WIDEST = 1000  # more than any table needs


class OutputStream(io.TextIOWrapper):
    """Text for a file descriptor, which is dropped after the first write that fails; `error` keeps that failure.

    Characters that the encoding lacks are replaced; see `encodable`.
    """

    error: OSError | None = None

    def write(self, text: str) -> int:
        """Write text and return its length."""
        try:
            return super().write(text)
        except OSError as error:
            self._drop(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except OSError as error:
            self._drop(error)

    def _drop(self, error: OSError) -> None:
        """Discard what is buffered, and all that follows."""
        if self.error is None:
            self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


def install() -> None:
    """Replace sys.stdout and sys.stderr by an OutputStream each, unless they write to no file descriptor.

    Descriptors that were closed when the process started are opened on the null device, so that no file that is opened
    later receives output: for reading only, so that a write fails.
    """
    codecs.register_error(_REPLACING, _replacement)
    for descriptor in (0, 1, 2):
        _reserve(descriptor)
    sys.stdout = _output_stream(sys.stdout, 1)
    sys.stderr = _output_stream(sys.stderr, 2)
    _check_columns()


def result_error() -> OSError | None:
    """Return why stdout could not be written; None if it was, or if its reader has stopped reading, as `head` does."""
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    return None if isinstance(error, BrokenPipeError) else error


def encodable(text: str) -> str:
    """Return text as stdout will show it, whose encoding may lack characters.

    They become similar characters ("±" is "+/-"), or escapes as in JSON.
    """
    if is_unicode(sys.stdout):
        return text
    return text.encode(sys.stdout.encoding, _REPLACING).decode(sys.stdout.encoding)


def is_unicode(stream: TextIO) -> bool:
    """Return whether the encoding of a stream has all characters, as that of a stream in memory does."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def _replacement(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_replaced, error.object[error.start : error.end])), error.end


def _replaced(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return _LOOKALIKES.get(character) or "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def _reserve(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        opened = os.open(os.devnull, os.O_RDONLY)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _output_stream(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is None:  # it was closed
        raw = io.FileIO(descriptor, "w", closefd=False)
        return OutputStream(io.BufferedWriter(raw), "utf-8", _REPLACING, line_buffering=descriptor == 2)
    if type(stream) is not io.TextIOWrapper or not _has_descriptor(stream):
        return stream
    os.set_blocking(stream.fileno(), True)  # whatever program set it otherwise, its writes would fail at random
    lines, all_writes, encoding = stream.line_buffering, stream.write_through, stream.encoding
    return OutputStream(stream.detach(), encoding, _REPLACING, line_buffering=lines, write_through=all_writes)


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):
        return False


def _check_columns() -> None:
    """Correct the width in COLUMNS, which libraries take as it is; remove one that is no positive number."""
    columns = os.environ.pop("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns) > 0:
        os.environ["COLUMNS"] = str(min(max(int(columns[:9]), NARROWEST), WIDEST))
