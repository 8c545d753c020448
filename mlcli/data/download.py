"""One file from one URL, bounded in size and time."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlcli import __version__
from mlcli.data.directory import unwritable
from mlcli.errors import DataError, UsageError
from mlcli.text import escaped

_SCHEMES = ("http", "https")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Pace:
    """The slowest transfer that is waited for: in every window, from looking up the host on, so many bytes."""

    window_seconds: float = 15.0
    bytes_per_window: int = 64 * 1024


class TransferError(Exception):
    """A transfer that failed at the other end or on the way; the message is one line."""


def check_url(url: str) -> None:
    """Refuse, with UsageError, what is not a plain http or https address."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_plain = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain:
        raise UsageError(f"{url!r} is not an http or https address\ngive one, or a folder that holds the files")
    if parts.username is not None:
        raise UsageError("an address with a user name in it is not supported\ngive one without, or a folder")


def download(url: str, target: Path, n_bytes: int, pace: Pace | None = None) -> None:
    """Write the body of `url`, exactly n_bytes, to `target`.

    The transfer runs in a thread of its own, so that name resolution, connecting, headers and body are all held to
    the pace, which socket timeouts alone do not achieve. TransferError where the other end fails, DataError where
    `target` cannot be written; target is then not to be used.
    """
    pace = pace or Pace()
    transfer = _Transfer(url, target, n_bytes, pace.window_seconds)
    transfer.start()
    try:
        _wait(transfer, n_bytes, pace)
    finally:
        transfer.abandoned.set()
    if transfer.error is not None:
        raise transfer.error


def _wait(transfer: _Transfer, n_bytes: int, pace: Pace) -> None:
    n_before = 0
    while True:
        transfer.join(pace.window_seconds)
        n_received = transfer.n_received
        if not transfer.is_alive():
            return
        if n_received - n_before < pace.bytes_per_window:
            raise TransferError(f"stalled after {n_received} of {n_bytes} bytes")
        n_before = n_received


class _Transfer(threading.Thread):
    def __init__(self, url: str, target: Path, n_bytes: int, timeout_seconds: float) -> None:
        super().__init__(name="mlcli-download", daemon=True)
        self.abandoned = threading.Event()
        self.n_received = 0
        self.error: Exception | None = None
        self._url, self._target, self._n_bytes = url, target, n_bytes
        self._timeout_seconds = timeout_seconds

    def run(self) -> None:
        try:
            request = urllib.request.Request(
                self._url, headers={"User-Agent": f"mlcli/{__version__}", "Accept-Encoding": "identity"}
            )
            with _opener().open(request, timeout=self._timeout_seconds) as response:
                self._check_length(response.headers.get("Content-Length"))
                self._receive(response)
        except (TransferError, DataError) as error:
            self.error = error
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.error = TransferError(_reason(error))

    def _check_length(self, announced: str | None) -> None:
        if announced is not None and announced.strip() != str(self._n_bytes):
            raise TransferError(f"announces {escaped(announced.strip(), 20)} bytes instead of {self._n_bytes}")

    def _receive(self, response: http.client.HTTPResponse) -> None:
        with _writing(self._target):
            file = self._target.open("wb")
        with file:
            # read1 returns with what has arrived, so that the pace is seen; read would wait for a whole chunk.
            while not self.abandoned.is_set() and (chunk := response.read1(_CHUNK)):
                self.n_received += len(chunk)
                if self.n_received > self._n_bytes:
                    raise TransferError(f"sends more than the {self._n_bytes} bytes there should be")
                with _writing(self._target):
                    file.write(chunk)
            with _writing(self._target):
                file.flush()
        if self.n_received < self._n_bytes:
            raise TransferError(f"ended after {self.n_received} of {self._n_bytes} bytes")


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in _SCHEMES:
            raise TransferError(f"redirects to {newurl[:100]!r}, which is not an http or https address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, proxies and redirects; unlike urlopen, no file, ftp or data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _HttpRedirects(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Tell a disk that is full or read-only from a connection that failed: both are an OSError."""
    try:
        yield
    except OSError as error:
        raise unwritable(target, error) from error


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        if 300 <= error.code < 400:  # one that urllib would not follow
            return "redirects in a circle, or to what is not an http or https address"
        return f"answers HTTP {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return escaped(" ".join(str(error).split()), 200) or type(error).__name__
