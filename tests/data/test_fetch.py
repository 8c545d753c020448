from __future__ import annotations

from pathlib import Path

import pytest

from mlcli.data.fetch import Pace, TransferError, check_url, download
from mlcli.errors import DataError, UsageError

BODY = bytes(range(256)) * 1000
QUICK = Pace(window_seconds=0.4, bytes_per_window=1024)


def test_the_body_is_written(server, tmp_path):
    server.offer("/file", BODY)
    download(f"{server.url}/file", tmp_path / "file", len(BODY))
    assert (tmp_path / "file").read_bytes() == BODY


def test_redirects_within_http_are_followed(server, tmp_path):
    server.offer("/file", BODY)
    server.redirect("/old", f"{server.url}/file")
    download(f"{server.url}/old", tmp_path / "file", len(BODY))
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/file", "data:text/plain,x"])
def test_redirects_elsewhere_are_refused(server, tmp_path, location):
    server.redirect("/file", location)
    with pytest.raises(TransferError, match="redirects .*an address that is not http or https"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY), QUICK)
    assert not (tmp_path / "file").exists()


def test_a_redirect_loop_ends(server, tmp_path):
    server.redirect("/file", f"{server.url}/file")
    with pytest.raises(TransferError, match="redirects in a circle"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "ftp://host/x", "data:,x", "http://", "http://[::1", "http://h:x/"]
)
def test_addresses_that_are_not_http_are_refused(url, tmp_path):
    with pytest.raises(UsageError, match="is not an http or https address"):
        check_url(url)
    with pytest.raises(UsageError, match="is not an http or https address"):
        download(url, tmp_path / "file", len(BODY), QUICK)
    assert not (tmp_path / "file").exists()


def test_a_file_address_is_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(BODY)
    with pytest.raises(UsageError, match="is not an http or https address"):
        download((tmp_path / "secret").as_uri(), tmp_path / "file", len(BODY))
    assert not (tmp_path / "file").exists()


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        check_url("https://me:secret@host/")
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_reported(server, tmp_path):
    with pytest.raises(TransferError, match="answers HTTP 404"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))


@pytest.mark.parametrize("announced", [0, len(BODY) - 1, len(BODY) + 1, 10**15])
def test_another_announced_length_is_refused_before_the_body(server, tmp_path, announced):
    server.offer("/file", b"", announced=announced)
    with pytest.raises(TransferError, match=f"announces {announced} bytes instead of {len(BODY)}"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))


def test_a_dropped_connection_is_reported(server, tmp_path):
    server.offer("/file", BODY[:1000], announced=len(BODY))
    with pytest.raises(TransferError, match=f"ended after 1000 of {len(BODY)} bytes"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))


def endless(request):
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(BODY)
    except OSError:
        pass


def test_an_endless_body_is_cut_off(server, tmp_path):
    server.answers["/file"] = endless
    with pytest.raises(TransferError, match=f"sends more than the expected {len(BODY)} bytes"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))
    assert (tmp_path / "file").stat().st_size <= len(BODY)


def stalling(server, first):
    """Send a little, then nothing."""

    def answer(request):
        request.wfile.write(first)
        request.wfile.flush()
        server.released.wait(20)

    return answer


def dripping(server, first):
    """Send a little, then a byte every 50 ms for ten seconds, so that no single wait is long."""

    def answer(request):
        request.wfile.write(first)
        try:
            for _ in range(200):
                server.released.wait(0.05)
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            pass

    return answer


HEAD = f"HTTP/1.0 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()


@pytest.mark.parametrize("manner", [stalling, dripping])
@pytest.mark.parametrize("first", [b"", b"HTTP/1.0 200 OK\r\nX: ", HEAD, HEAD + BODY[:1000]])
def test_a_server_that_stalls_or_drips_is_abandoned(server, tmp_path, manner, first):
    server.answers["/file"] = manner(server, first)
    with pytest.raises(TransferError, match="stalled after|timed out"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY), QUICK)


def test_a_slow_server_that_keeps_the_pace_is_waited_for(server, tmp_path):
    def slowly(request):
        request.send_response(200)
        request.end_headers()
        for _ in range(7):
            server.released.wait(0.2)
            request.wfile.write(b"x")
            request.wfile.flush()

    server.answers["/file"] = slowly
    download(f"{server.url}/file", tmp_path / "file", 7, Pace(window_seconds=1.0, bytes_per_window=1))
    assert (tmp_path / "file").read_bytes() == b"x" * 7


def test_a_refused_connection_is_reported(closed_port, tmp_path):
    with pytest.raises(TransferError, match="connection refused"):
        download(f"{closed_port}/file", tmp_path / "file", len(BODY))


def test_an_unknown_host_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(TransferError, match="the host name cannot be resolved|stalled"):
        download("http://no-such-host.invalid/file", tmp_path / "file", len(BODY))


def test_a_response_that_is_not_http_is_reported(server, tmp_path):
    server.answers["/file"] = lambda request: request.wfile.write(b"\x00\x01 nonsense\r\n\r\n")
    with pytest.raises(TransferError, match="nonsense"):
        download(f"{server.url}/file", tmp_path / "file", len(BODY))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_not_reported_as_a_bad_server(server):
    server.offer("/file", BODY)
    with pytest.raises(DataError, match="/dev/full cannot be written: No space left on device"):
        download(f"{server.url}/file", Path("/dev/full"), len(BODY))
