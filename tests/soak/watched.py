"""Check that readers only read: record what a fuzzed reader executes, writes or connects to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlcli.errors import MlcliError

_NEVER = (
    "os.chmod", "os.exec", "os.fork", "os.forkpty", "os.link", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename",
    "os.rmdir", "os.spawn", "os.symlink", "os.system", "os.truncate", "pickle.find_class", "shutil.rmtree",
    "socket.connect", "socket.getaddrinfo", "subprocess.Popen",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class TrespassError(BaseException):
    """A reader wrote a file, ran a program or opened a connection."""


class _Watch:
    def __init__(self) -> None:
        self.is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self._take)

    def _take(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and (event in _NEVER or (event == "open" and _writes(*arguments))):
            self.seen.append(f"{event} {arguments[:1]!r}"[:200])


def _writes(path: Any, mode: Any, flags: Any) -> bool:
    return path != os.devnull and isinstance(flags, int) and bool(flags & _WRITING)


_watch: _Watch | None = None  # an audit hook cannot be removed, so all uses share one


@contextmanager
def read_or_refused() -> Iterator[None]:
    """Run a reader, and suppress its MlcliError if it has a message.

    Raises TrespassError at the end if the reader wrote a file, ran a program or opened a connection. It is not raised
    immediately, because the reader might catch it.
    """
    global _watch
    _watch = _watch or _Watch()
    _watch.seen.clear()
    _watch.is_on = True
    try:
        yield
    except MlcliError as error:
        if not str(error).strip():
            raise
    finally:
        _watch.is_on = False
        if _watch.seen:
            raise TrespassError("; ".join(dict.fromkeys(_watch.seen)))
