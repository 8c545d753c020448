"""A dataset from a server that misbehaves: one clear refusal, nothing left behind, and a good server mends it."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlcli.cli.data import app
from mlcli.data import download
from mlcli.data.images import ImageSource
from mlcli.errors import DataError

MakeSource = Callable[..., ImageSource]
Answer = Callable[[BaseHTTPRequestHandler], None]
QUICK = download.Pace(window_seconds=1.5)


def status(code: int, *headers: tuple[str, str], body: bytes = b"") -> Callable[[object, bytes], Answer]:
    """The same answer whatever is asked for."""

    def make(server: object, whole: bytes) -> Answer:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(code)
            for header in headers:
                request.send_header(*header)
            request.end_headers()
            request.wfile.write(body)

        return answer

    return make


def raw(text: bytes) -> Callable[[object, bytes], Answer]:
    """Bytes in place of an answer."""
    return lambda server, whole: lambda request: request.wfile.write(text)


def stalls(server: object, whole: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(whole[:7])
        request.wfile.flush()
        server.released.wait(20)

    return answer


def endless(server: object, whole: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(whole)
        except OSError:
            pass

    return answer


def drops(server: object, whole: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(whole)))
        request.end_headers()
        request.wfile.write(whole[:7])

    return answer


BAD = {
    "stalls": (stalls, "stalled after |timed out"),
    "drops": (drops, "ended after 7 of {n_bytes} bytes"),
    "sends without end": (endless, "sends more than the {n_bytes} bytes there should be"),
    "announces another length": (status(200, ("Content-Length", "7"), body=b"1234567"), "announces 7 bytes instead of"),
    "sends a page": (status(200, body=b"<html>log in first</html>"), "ended after 25 of {n_bytes} bytes"),
    "redirects to a file": (
        status(302, ("Location", "file:///etc/hostname")),
        "redirects in a circle, or to what is not an http",
    ),
    "is broken": (status(503), "answers HTTP 503"),
    "writes to the terminal": (raw(b"\x1b]0;title\x07\r\n\r\n"), "\\x1b]0;title\\x07"),
    "announces in colour": (status(200, ("Content-Length", "\x1b[31m7")), "announces \\x1b[31m7 bytes instead of"),
    "redirects in colour": (status(302, ("Location", "x\x1b[31m")), "answers HTTP 404"),
}


@pytest.mark.parametrize(("make_answer", "reason"), BAD.values(), ids=BAD)
def test_one_refusal_says_what_the_server_did(
    monkeypatch: pytest.MonkeyPatch, server: object, tiny_source: MakeSource, tiny_bodies: dict[str, bytes],
    tmp_path: Path, make_answer: Callable[[object, bytes], Answer], reason: str,
) -> None:  # fmt: skip
    if make_answer is stalls:
        monkeypatch.setattr(download, "Pace", lambda: QUICK)
    for name, body in tiny_bodies.items():
        server.offer(f"/{name}", body)
    *_, name = tiny_bodies  # the last of the four, so that three are there already
    server.answers[f"/{name}"] = make_answer(server, tiny_bodies[name])
    source, data_dir = tiny_source(server.url), tmp_path / "data"
    with pytest.raises(DataError) as caught:
        source.read(data_dir, offline=False, log=lambda _: None)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert lines[0] == f"tiny: {data_dir}/FashionMNIST/raw/{name} is missing"
    reasons = reason.format(n_bytes=len(tiny_bodies[name])).split("|")
    assert any(f"{server.url}/{name}: {one}" in lines[1] for one in reasons)
    assert "mlcli data fetch tiny --from DIR|URL" in lines[2]
    raw_folder = data_dir / "FashionMNIST" / "raw"
    assert sorted(path.name for path in raw_folder.iterdir()) == sorted(set(tiny_bodies) - {name})
    assert not (data_dir / "prepared" / "tiny").exists()

    server.n_requests.clear()
    server.offer(f"/{name}", tiny_bodies[name])
    source.read(data_dir, offline=False, log=lambda _: None)
    assert dict(server.n_requests) == {f"/{name}": 1}


def test_an_address_in_red_is_shown_in_writing(closed_port: str, tmp_path: Path) -> None:
    words = ["fetch", "mnist", "--from", f"{closed_port}/\x1b[31m", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, DataError)
    assert f"fetching {closed_port}/\\x1b[31m/train-images" in result.stderr
    assert "\x1b" not in result.stderr
