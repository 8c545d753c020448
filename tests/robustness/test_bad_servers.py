"""Downloads from faulty servers: one clear error, no files left behind, and the next download works."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mlcli.cli.data import app
from mlcli.data import fetch
from mlcli.errors import DataError

QUICK = fetch.Pace(window_seconds=1.5)


def status(code, *headers, body=b""):
    """Return the same answer for every path."""

    def make(server, whole):
        def answer(request):
            request.send_response(code)
            for header in headers:
                request.send_header(*header)
            request.end_headers()
            request.wfile.write(body)

        return answer

    return make


def raw(text):
    """Send bytes instead of an HTTP response."""
    return lambda server, whole: lambda request: request.wfile.write(text)


def stalls(server, whole):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(whole[:7])
        request.wfile.flush()
        server.released.wait(20)

    return answer


def endless(server, whole):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(whole)
        except OSError:
            pass

    return answer


def drops(server, whole):
    def answer(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(whole)))
        request.end_headers()
        request.wfile.write(whole[:7])

    return answer


BAD = {
    "stalls": (stalls, "stalled after |timed out"),
    "drops": (drops, "ended after 7 of {n_bytes} bytes"),
    "sends without end": (endless, "sends more than the expected {n_bytes} bytes"),
    "announces another length": (status(200, ("Content-Length", "7"), body=b"1234567"), "announces 7 bytes instead of"),
    "sends a page": (status(200, body=b"<html>log in first</html>"), "ended after 25 of {n_bytes} bytes"),
    "redirects to a file": (
        status(302, ("Location", "file:///etc/hostname")),
        "redirects in a circle, or to an address that is not http",
    ),
    "is broken": (status(503), "answers HTTP 503"),
    "writes to the terminal": (raw(b"\x1b]0;title\x07\r\n\r\n"), "\\x1b]0;title\\x07"),
    "announces in colour": (status(200, ("Content-Length", "\x1b[31m7")), "announces \\x1b[31m7 bytes instead of"),
    "redirects in colour": (status(302, ("Location", "x\x1b[31m")), "answers HTTP 404"),
}


@pytest.mark.parametrize(("make_answer", "reason"), BAD.values(), ids=BAD)
def test_one_error_describes_the_fault_of_the_server(
    monkeypatch, server, tiny_source, tiny_bodies, tmp_path, make_answer, reason
):
    if make_answer is stalls:
        monkeypatch.setattr(fetch, "Pace", lambda: QUICK)
    for name, body in tiny_bodies.items():
        server.offer(f"/{name}", body)
    *_, name = tiny_bodies  # the last of four, so that the others are fetched first
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


def test_control_characters_in_an_address_are_escaped(closed_port, tmp_path):
    words = ["fetch", "mnist", "--from", f"{closed_port}/\x1b[31m", "--data-dir", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, DataError)
    assert f"fetching {closed_port}/\\x1b[31m/train-images" in result.stderr
    assert "\x1b" not in result.stderr
