"""Download raw files, or copy them from a folder, bounded in size and time and verified before they are put in place.

urllib and not a download library: pooch and requests limit neither the size nor the total time of a transfer.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO

from mlcli import __version__
from mlcli.data.directory import staging_folder, writing
from mlcli.data.source import Log, Mirror, RawFile, check_file
from mlcli.errors import DataError, UsageError
from mlcli.text import escaped

_SCHEMES = ("http", "https")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Pace:
    """The slowest accepted transfer: bytes_per_window in every window, starting with the host name lookup."""

    window_seconds: float = 15.0
    bytes_per_window: int = 64 * 1024


class TransferError(Exception):
    """A transfer that failed at the other end or on the way; the message is one line."""


class FetchError(Exception):
    """A file that no mirror provided; the message is one line that lists every attempt."""

    def __init__(self, file: RawFile, failures: Sequence[str]) -> None:
        self.file = file
        super().__init__(f"{file.name} could not be fetched; tried {'; '.join(failures)}")


def fetch_files(files: Sequence[RawFile], folder: Path, mirrors: Sequence[Mirror], log: Log) -> None:
    """Fetch each file from the first mirror that provides it intact, and put it into `folder`.

    A file is written to a staging folder, verified, and then renamed into place. Call it under a lock.
    FetchError if no mirror provides a file, DataError if `folder` cannot be written.
    """
    with staging_folder(folder, "incoming") as staging:
        for file in files:
            _fetch_file(file, staging / file.name, mirrors, log)
            with writing(folder / file.name):
                os.replace(staging / file.name, folder / file.name)


def _fetch_file(file: RawFile, target: Path, mirrors: Sequence[Mirror], log: Log) -> None:
    failures: list[str] = []
    for mirror in mirrors:
        address = mirror / file.name if isinstance(mirror, Path) else f"{mirror.rstrip('/')}/{file.name}"
        log(f"fetching {address} ({file.n_bytes / 1e6:.3g} MB)")
        try:
            if isinstance(address, str):
                download(address, target, file.n_bytes)
            else:
                _check_intact(file, address)
                with writing(target):
                    shutil.copyfile(address, target)
            _check_intact(file, target)
        except TransferError as error:
            failures.append(f"{address}: {error}")
        else:
            return
    raise FetchError(file, failures)


def _check_intact(file: RawFile, path: Path) -> None:
    check = check_file(file, path)
    if check.state != "ok":
        raise TransferError(check.detail)


def check_url(url: str) -> None:
    """UsageError for anything but a plain http or https address."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_plain = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain:
        raise UsageError(f"{url!r} is not an http or https address\nuse one, or a folder that contains the files")
    if parts.username is not None:
        raise UsageError("an address with a user name is not supported\nuse one without, or a folder")


def download(url: str, target: Path, n_bytes: int, pace: Pace | None = None) -> None:
    """Write the response body of `url`, exactly n_bytes, to `target`.

    UsageError for a URL that is not http or https, TransferError if the transfer fails, DataError if `target` cannot
    be written; the content of `target` is then undefined.
    """
    check_url(url)
    pace = pace or Pace()
    # A thread, because a socket's timeout limits only the wait for the next byte: a server that sends a byte now and
    # then, and a name lookup, would block for as long as they like.
    transfer = _Transfer(url, target, n_bytes, pace.window_seconds)
    transfer.start()
    n_before = 0
    try:
        transfer.join(pace.window_seconds)
        while transfer.is_alive():
            n_received = transfer.n_received
            if n_received - n_before < pace.bytes_per_window:
                raise TransferError(f"stalled after {n_received} of {n_bytes} bytes")
            n_before = n_received
            transfer.join(pace.window_seconds)
    finally:
        transfer.cancelled.set()
    if transfer.error is not None:
        raise transfer.error


class _Transfer(threading.Thread):
    """A transfer in progress: n_received counts the bytes of the body; error is set if it failed."""

    def __init__(self, url: str, target: Path, n_bytes: int, timeout_seconds: float) -> None:
        super().__init__(name="mlcli-download", daemon=True)
        self.cancelled = threading.Event()
        self.n_received = 0
        self.error: Exception | None = None
        self._url, self._target, self._n_bytes = url, target, n_bytes
        self._timeout_seconds = timeout_seconds

    def run(self) -> None:
        headers = {"User-Agent": f"mlcli/{__version__}", "Accept-Encoding": "identity"}
        opener = urllib.request.build_opener(_HttpRedirects)
        try:
            request = urllib.request.Request(self._url, headers=headers)
            with opener.open(request, timeout=self._timeout_seconds) as response:
                self._receive(response)
        except (TransferError, DataError) as error:
            self.error = error
        except (OSError, ValueError, HTTPException) as error:
            self.error = TransferError(_reason(error))

    def _receive(self, response: HTTPResponse) -> None:
        announced = response.headers.get("Content-Length", str(self._n_bytes)).strip()
        if announced != str(self._n_bytes):
            raise TransferError(f"announces {escaped(announced, 20)} bytes instead of {self._n_bytes}")
        with writing(self._target):
            file = self._target.open("wb", buffering=0)
        with file:
            # read1 returns whatever has arrived, so that the pace can be measured; read would wait for a full chunk.
            while not self.cancelled.is_set() and (chunk := response.read1(_CHUNK)):
                self.n_received += len(chunk)
                if self.n_received > self._n_bytes:
                    raise TransferError(f"sends more than the expected {self._n_bytes} bytes")
                with writing(self._target):  # a full disk and a lost connection both raise OSError
                    while chunk:  # a nearly full disk takes a part of it
                        chunk = chunk[file.write(chunk) :]
        if self.n_received < self._n_bytes:
            raise TransferError(f"ended after {self.n_received} of {self._n_bytes} bytes")


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; urllib alone would follow one to ftp as well."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme not in _SCHEMES:
            raise TransferError(f"redirects to {newurl[:100]!r}, an address that is not http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    """Return a short description of what went wrong."""
    if isinstance(error, urllib.error.HTTPError):
        if 300 <= error.code < 400:  # a redirect that urllib did not follow
            return "redirects in a circle, or to an address that is not http or https"
        return f"answers HTTP {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return escaped(" ".join(str(error).split()), 200) or type(error).__name__
