"""A result into a file in place of stdout."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import MlcliError


@contextlib.contextmanager
def stdout_into(path: Path | None) -> Iterator[None]:
    """What is printed to stdout inside goes to this file, whole or not at all; to stdout where path is None.

    MlcliError where the file cannot be written.
    """
    if path is None:
        yield
        return
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        yield
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text.getvalue(), encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise MlcliError(f"--output {path}: cannot be written: {error.strerror or error}") from error
