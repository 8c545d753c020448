"""Readers only read: what a fuzzed reader executes, writes or connects to is recorded while it happens."""

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
    """A reader did something other than to read."""


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


_watch: _Watch | None = None  # an audit hook cannot be removed, so there is one


@contextmanager
def read_or_refused() -> Iterator[None]:
    """What is inside reads, or raises an MlcliError, which ends here.

    TrespassError at the end where it wrote a file, ran something or called somebody; not at once, because the code
    inside may catch what it calls, and would hide it.
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
