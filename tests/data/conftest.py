"""A tiny image set in the manner of MNIST, and a local web server that can misbehave."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mlcli.data.image_source import ImageSource
from mlcli.data.raw_files import RawFile
from mlcli.records import DatasetInfo

Answer = Callable[[BaseHTTPRequestHandler], None]

TINY_INFO = DatasetInfo(
    name="tiny",
    kind="image",
    input_shape=(1, 4, 5),
    class_names=tuple("0123456789"),
    feature_names=(),
    n_train=60,
    n_test=20,
    title="Tiny",
)


def idx_bytes(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist/)."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def tiny_bodies() -> dict[str, bytes]:
    """The four gzipped files by name; the labels are 0 to 9 in turn."""
    generator = np.random.default_rng(5)
    bodies: dict[str, bytes] = {}
    for part, n_samples in (("train", TINY_INFO.n_train), ("t10k", TINY_INFO.n_test)):
        images = generator.integers(0, 256, (n_samples, *TINY_INFO.input_shape[1:]))
        bodies[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        bodies[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(np.arange(n_samples) % 10), mtime=0)
    return bodies


@pytest.fixture
def tiny_source(tiny_bodies: dict[str, bytes]) -> Callable[..., ImageSource]:
    """Make the tiny source, with the mirrors that are given."""

    def make(*mirrors: str, bodies: dict[str, bytes] = tiny_bodies) -> ImageSource:
        files = tuple(RawFile(name, len(body), hashlib.md5(body).hexdigest()) for name, body in bodies.items())
        return ImageSource(TINY_INFO, "FashionMNIST", mirrors, files)

    return make


@pytest.fixture
def tiny_data_dir(tmp_path: Path, tiny_bodies: dict[str, bytes]) -> Path:
    """A data directory with the four raw files, nothing prepared."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, body in tiny_bodies.items():
        (raw / name).write_bytes(body)
    return tmp_path / "data"


class Server:
    """http://127.0.0.1 with an answer for each path; everything else is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.n_requests: Counter[str] = Counter()
        self.released = threading.Event()  # set at the end, so that stalling answers return
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.n_requests[self.path] += 1
                answer = server.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def offer(self, path: str, body: bytes, announced: int | None = None) -> None:
        """Answer with a body; announced: the length that the header gives, if not the true one."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(len(body) if announced is None else announced))
            request.end_headers()
            request.wfile.write(body)

        self.answers[path] = answer

    def redirect(self, path: str, location: str) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(302)
            request.send_header("Location", location)
            request.end_headers()

        self.answers[path] = answer

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local web server; a proxy of the user's shell is not asked."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


@pytest.fixture
def closed_port() -> str:
    """An address at which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def said() -> list[str]:
    """Collects what `say` is called with: pass `said.append`."""
    return []
