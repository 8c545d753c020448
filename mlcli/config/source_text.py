"""The text of a configuration file: bounded, UTF-8, and free of control characters. Faults carry their place."""

from __future__ import annotations

import codecs
import os
import re
import stat
import time
from io import FileIO
from pathlib import Path

from mlcli.config.messages import ConfigIssue, SourceLocation, UnreadableError
from mlcli.errors import nearest_match
from mlcli.text import escaped

MAX_BYTES = 1_000_000
MAX_SECONDS = 10.0  # for what a pipe or a terminal sends, in all
# What YAML does not allow unescaped; lone surrogates cannot appear in decoded UTF-8.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The parser takes seconds over a file that is full of them, and there are no tags that they could be for.
_TAG_DIRECTIVE = re.compile("(?:^|[\n\r\x85\u2028\u2029])\ufeff?%TAG")
# What a pipe gave it does not give again, and some commands read a configuration once for each engine.
_from_pipes: dict[tuple[int, int], bytes] = {}
_OTHER_ENCODINGS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}


def read_text(path: Path) -> str:
    """The text of a file. UnreadableError where it cannot be read, is over 1 MB, or holds anything but UTF-8 text."""
    place = SourceLocation(escaped(str(path)))
    try:
        content = _read_bytes(path)
    except FileNotFoundError:
        raise UnreadableError([ConfigIssue(place, "", f"no such file{_near_file(path)}")]) from None
    except IsADirectoryError:
        raise UnreadableError([ConfigIssue(place, "", "is a directory; name a YAML file in it")]) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UnreadableError([ConfigIssue(place, "", f"cannot be read: {escaped(reason)}")]) from None
    if content is None:
        message = f"is larger than {MAX_BYTES / 1e6:.0f} MB, which no experiment needs; is it the right file?"
        raise UnreadableError([ConfigIssue(place, "", message)])
    return checked_characters(_decoded(content, place.source), place.source)


def _read_bytes(path: Path) -> bytes | None:
    """The content, or None where it is over the limit; a huge or endless file is not read to its end."""
    with FileIO(path, opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            pipe = (status.st_dev, status.st_ino)
            content = _from_pipes[pipe] = _from_pipes.get(pipe) or _received(file)
        elif status.st_size > MAX_BYTES:
            return None
        else:
            content = file.read(MAX_BYTES + 1)
    return content if len(content) <= MAX_BYTES else None


def _open_at_once(path: str, flags: int) -> int:
    """Open for reading; also a pipe that nobody writes to, for which the system would wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _received(file: FileIO) -> bytes:
    """What a pipe or a device sends until its end, or until it is too much; OSError where that takes too long."""
    import select

    content = b""
    deadline = time.monotonic() + MAX_SECONDS
    while len(content) <= MAX_BYTES:
        ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(None, f"it is no plain file, and its end did not come in {MAX_SECONDS:g} s")
        chunk = file.read(MAX_BYTES + 1 - len(content))
        if not chunk:
            break
        content += chunk
    return content


def _near_file(path: Path) -> str:
    """The YAML file beside it that was probably meant."""
    try:
        files = {Path(name).stem: name for name in os.listdir(path.parent) if name.endswith((".yaml", ".yml"))}
    except (OSError, ValueError):
        return ""
    guess = nearest_match(path.stem, list(files))
    return f" (did you mean '{escaped(str(path.parent / files[guess]))}'?)" if guess else ""


def _decoded(content: bytes, source: str) -> str:
    for mark, encoding in _OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise UnreadableError([ConfigIssue(SourceLocation(source, 1, 1), "", f"is {encoding}; save it as UTF-8")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place(source, error.object[: error.start].decode("utf-8", "replace"))
        message = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        raise UnreadableError([ConfigIssue(place, "", message)]) from None


def checked_characters(text: str, source: str) -> str:
    """The text itself; UnreadableError where it holds a character that YAML forbids, or declares tags."""
    found = _FORBIDDEN.search(text)
    if found:
        message = f"the character {escaped(found.group())} is not allowed here"
        raise UnreadableError([ConfigIssue(_place(source, text[: found.start()]), "", message)])
    found = _TAG_DIRECTIVE.search(text)
    if found:
        place = _place(source, text[: found.end() - len("%TAG")])
        raise UnreadableError([ConfigIssue(place, "", "the directive %TAG is not allowed; only plain values are")])
    return text


def _place(source: str, before: str) -> SourceLocation:
    """The place just after the text `before`."""
    lines = re.split(r"\r\n|\r|\n", before)
    return SourceLocation(source, len(lines), len(lines[-1]) + 1)
