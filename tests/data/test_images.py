from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pytest

from mlcli.data.directory import fallback_root
from mlcli.errors import DataError, UsageError

IMAGES = "train-images-idx3-ubyte.gz"


def read(source, data_dir, log=lambda _: None):
    return source.read(data_dir, offline=False, log=log)


def offer_all(server, bodies):
    for name, body in bodies.items():
        server.offer(f"/{name}", body)


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def altered(report):
    return [check.path for check in report.checks if check.state == "altered"]


def test_raw_files_are_decoded_and_prepared(tiny_source, tiny_data_dir, tiny_bodies):
    data = read(tiny_source(), tiny_data_dir)
    assert data.test is not None
    images = np.frombuffer(gzip.decompress(tiny_bodies[IMAGES])[16:], np.uint8)
    np.testing.assert_array_equal(data.train.x, images.reshape(60, 1, 4, 5))
    np.testing.assert_array_equal(data.test.y, np.arange(20) % 10)
    assert data.train.y.dtype == np.int64
    prepared = {"train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy", "manifest.json"}
    assert files_below(tiny_data_dir) == (
        {f"FashionMNIST/raw/{name}" for name in tiny_bodies}
        | {f"prepared/tiny/{name}" for name in prepared}
        | {"prepared/.tiny.lock"}
    )


def test_prepared_data_needs_no_raw_files_and_no_torch(monkeypatch, tiny_source, tiny_data_dir):
    first = read(tiny_source(), tiny_data_dir)
    monkeypatch.setitem(sys.modules, "mlcli.data.prepared", None)
    for path in (tiny_data_dir / "FashionMNIST" / "raw").iterdir():
        path.unlink()
    assert tiny_source().read(tiny_data_dir, offline=True, log=pytest.fail).fingerprint == first.fingerprint


def test_an_altered_prepared_file_is_rebuilt_from_the_raw_files(tiny_source, tiny_data_dir, messages):
    first = read(tiny_source(), tiny_data_dir)
    path = tiny_data_dir / "prepared" / "tiny" / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-7])
    again = tiny_source().read(tiny_data_dir, offline=True, log=messages.append)
    assert again.fingerprint == first.fingerprint
    assert any("train_images.npy" in line and "will be rebuilt" in line for line in messages)


def test_missing_files_are_downloaded_from_the_first_mirror_that_has_them(
    server, closed_port, tiny_source, tmp_path, tiny_bodies
):
    offer_all(server, tiny_bodies)
    server.offer(f"/wrong/{IMAGES}", b"?" * len(tiny_bodies[IMAGES]))
    data = read(tiny_source(closed_port, f"{server.url}/wrong/", server.url), tmp_path)
    assert len(data.train) == 60
    assert {name: (tmp_path / "FashionMNIST/raw" / name).read_bytes() for name in tiny_bodies} == tiny_bodies
    assert server.n_requests[f"/wrong/{IMAGES}"] == 1


@pytest.mark.parametrize("content", [b"", b"?", None], ids=["empty", "short", "altered"])
def test_an_altered_raw_file_is_fetched_again_and_the_others_are_kept(
    server, tiny_source, tiny_data_dir, tiny_bodies, messages, content
):
    offer_all(server, tiny_bodies)
    path = tiny_data_dir / "FashionMNIST" / "raw" / IMAGES
    path.write_bytes(bytes(len(tiny_bodies[IMAGES])) if content is None else content)
    read(tiny_source(server.url), tiny_data_dir, messages.append)
    assert path.read_bytes() == tiny_bodies[IMAGES]
    assert dict(server.n_requests) == {f"/{IMAGES}": 1}
    assert any(str(path) in line and "fetching it again" in line for line in messages)


def test_an_altered_raw_file_is_refused_offline_with_its_path_and_the_remedy(tiny_source, tiny_data_dir):
    path = tiny_data_dir / "FashionMNIST" / "raw" / IMAGES
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as caught:
        tiny_source("http://unused").read(tiny_data_dir, offline=True, log=pytest.fail)
    first, second, third = str(caught.value).splitlines()
    assert str(path) in first
    assert "bytes instead of" in first
    assert "--offline" in second
    assert f"mlcli data fetch tiny --from DIR|URL --data-dir {tiny_data_dir}" in third


def test_offline_without_files_makes_no_folder(tiny_source, tmp_path):
    with pytest.raises(DataError, match="is missing"):
        tiny_source("http://unused").read(tmp_path / "data", offline=True, log=pytest.fail)
    assert not (tmp_path / "data").exists()


def test_without_a_network_one_error_lists_every_attempt(closed_port, tiny_source, tmp_path):
    with pytest.raises(DataError) as caught:
        read(tiny_source(f"{closed_port}/a", f"{closed_port}/b"), tmp_path)
    message = str(caught.value)
    assert len(message.splitlines()) == 3
    for part in (f"{closed_port}/a/{IMAGES}: connection refused", f"{closed_port}/b/{IMAGES}", "--from DIR|URL"):
        assert part in message
    assert str(tmp_path) in message
    assert not any(name.startswith("FashionMNIST") for name in files_below(tmp_path))


def test_wrong_content_is_never_put_in_place(server, tiny_source, tmp_path, tiny_bodies):
    offer_all(server, tiny_bodies | {IMAGES: b"?" * len(tiny_bodies[IMAGES])})
    with pytest.raises(DataError, match="has md5"):
        read(tiny_source(server.url), tmp_path)
    assert not any("gz" in name for name in files_below(tmp_path))


def test_symlinked_raw_files_are_read_and_a_broken_link_is_replaced(
    server, tiny_source, tiny_data_dir, tiny_bodies, tmp_path
):
    offer_all(server, tiny_bodies)
    raw = tiny_data_dir / "FashionMNIST" / "raw"
    raw.rename(tmp_path / "elsewhere")
    raw.mkdir()
    for name in tiny_bodies:
        (raw / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / IMAGES).unlink()
    read(tiny_source(server.url), tiny_data_dir)
    assert dict(server.n_requests) == {f"/{IMAGES}": 1}
    assert not (raw / IMAGES).is_symlink()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        gzip.compress(bytes(1216))[:-4],
        b"no archive",
        bytes(16),
        bytes([0, 0, 8, 3]) + bytes(12),
        bytes([0, 0, 9, 3, 0, 0, 0, 60, 0, 0, 0, 4, 0, 0, 0, 5]) + bytes(1200),
        bytes([0, 0, 8, 3, 0, 0, 0, 61, 0, 0, 0, 4, 0, 0, 0, 5]) + bytes(1200),
        bytes([0, 0, 8, 3, 0, 0, 0, 59, 0, 0, 0, 4, 0, 0, 0, 5]) + bytes(1180),
    ],
    ids=["nothing", "cut archive", "no archive", "no magic", "no size", "signed", "cut", "another count"],
)
def test_files_with_the_right_checksum_that_are_not_the_images_are_refused(
    tiny_source, tiny_data_dir, tiny_bodies, body
):
    bodies = tiny_bodies | {IMAGES: body if body[:2] != bytes(2) else gzip.compress(body)}
    (tiny_data_dir / "FashionMNIST" / "raw" / IMAGES).write_bytes(bodies[IMAGES])
    with pytest.raises(DataError, match="FashionMNIST/raw"):
        read(tiny_source(bodies=bodies), tiny_data_dir)
    assert files_below(tiny_data_dir / "prepared") == {".tiny.lock"}


def test_a_file_that_grows_without_end_when_decompressed_is_refused(tiny_source, tiny_data_dir, tiny_bodies):
    bodies = tiny_bodies | {IMAGES: gzip.compress(bytes(3_000_000))}
    (tiny_data_dir / "FashionMNIST" / "raw" / IMAGES).write_bytes(bodies[IMAGES])
    with pytest.raises(DataError, match=f"{IMAGES} contains more than the expected 1216 bytes"):
        read(tiny_source(bodies=bodies), tiny_data_dir)


def test_a_class_that_the_dataset_does_not_have_is_refused(tiny_source, tiny_data_dir, tiny_bodies):
    name = "t10k-labels-idx1-ubyte.gz"
    bodies = tiny_bodies | {name: gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 20]) + bytes([10] * 20))}
    (tiny_data_dir / "FashionMNIST" / "raw" / name).write_bytes(bodies[name])
    with pytest.raises(DataError, match="expected test data: found a class 10"):
        read(tiny_source(bodies=bodies), tiny_data_dir)


def test_a_read_only_data_directory_is_prepared_in_the_platform_cache(
    monkeypatch, tiny_source, tiny_data_dir, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tiny_data_dir / "prepared").write_text("in the way")
    before = files_below(tiny_data_dir)
    first = read(tiny_source(), tiny_data_dir)
    assert files_below(tiny_data_dir) == before
    presence = tiny_source().presence(tiny_data_dir)
    assert presence.path == fallback_root(tiny_data_dir) / "prepared" / "tiny"
    monkeypatch.setitem(sys.modules, "mlcli.data.prepared", None)
    assert read(tiny_source(), tiny_data_dir, pytest.fail).fingerprint == first.fingerprint


def test_a_folder_without_write_permission_is_not_written_even_by_root(
    monkeypatch, server, tiny_source, tiny_data_dir, tiny_bodies, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    offer_all(server, tiny_bodies)
    raw = tiny_data_dir / "FashionMNIST" / "raw"
    (raw / IMAGES).write_bytes(b"altered")
    for folder in (raw, tiny_data_dir):
        folder.chmod(0o555)
    try:
        with pytest.raises(DataError, match=f"{raw} cannot be written: read-only folder"):
            read(tiny_source(server.url), tiny_data_dir)
        (raw / IMAGES).chmod(0o644)
        (raw / IMAGES).write_bytes(tiny_bodies[IMAGES])
        before = files_below(tiny_data_dir)
        read(tiny_source(), tiny_data_dir)
        assert files_below(tiny_data_dir) == before
    finally:
        for folder in (raw, tiny_data_dir):
            folder.chmod(0o755)


def test_presence_from_absent_to_prepared(tiny_source, tiny_data_dir, tiny_bodies, tmp_path):
    source = tiny_source()
    raw = tiny_data_dir / "FashionMNIST" / "raw"
    assert source.presence(tmp_path / "nowhere").state == "absent"
    assert source.presence(tiny_data_dir).state == "raw only"
    (raw / IMAGES).unlink()
    assert source.presence(tiny_data_dir).state == "incomplete"
    (raw / IMAGES).write_bytes(tiny_bodies[IMAGES])
    read(source, tiny_data_dir)
    assert source.presence(tiny_data_dir).state == "prepared"


def test_verify_reports_altered_files_and_whether_the_dataset_is_usable(tiny_source, tiny_data_dir, tmp_path):
    source = tiny_source()
    assert not source.verify(tmp_path / "nowhere").usable
    read(source, tiny_data_dir)
    assert [check.state for check in source.verify(tiny_data_dir).checks] == ["ok"] * 5
    raw = tiny_data_dir / "FashionMNIST" / "raw" / IMAGES
    raw.write_bytes(bytes(raw.stat().st_size))
    report = source.verify(tiny_data_dir)
    assert altered(report) == [raw]
    assert report.usable  # the prepared arrays are intact
    prepared = tiny_data_dir / "prepared" / "tiny" / "test_images.npy"
    prepared.write_bytes(prepared.read_bytes()[:-1] + b"?")
    report = source.verify(tiny_data_dir)
    assert altered(report) == [raw, prepared.parent]
    assert not report.usable


@pytest.mark.parametrize("layout", ["", "raw", "FashionMNIST", "FashionMNIST/raw"])
def test_fetch_from_a_folder(tiny_source, tiny_bodies, tmp_path, layout):
    (tmp_path / "copy" / layout).mkdir(parents=True)
    for name, body in tiny_bodies.items():
        (tmp_path / "copy" / layout / name).write_bytes(body)
    source, data_dir = tiny_source(), tmp_path / "data"
    report = source.fetch(data_dir, str(tmp_path / "copy"), offline=True, log=lambda _: None)
    assert (report.n_fetched, report.n_present, report.path) == (4, 0, data_dir / "FashionMNIST" / "raw")
    assert source.presence(data_dir).state == "prepared"
    again = source.fetch(data_dir, str(tmp_path / "copy"), offline=True, log=pytest.fail)
    assert (again.n_fetched, again.n_present) == (0, 4)


def test_fetch_from_a_folder_with_other_files_is_refused(tiny_source, tiny_bodies, tmp_path):
    (tmp_path / "copy").mkdir()
    for name in tiny_bodies:
        (tmp_path / "copy" / name).write_bytes(b"those of another dataset")
    with pytest.raises(DataError, match=rf"tried {tmp_path}/copy/{IMAGES}: has 24 bytes instead of"):
        tiny_source().fetch(tmp_path / "data", str(tmp_path / "copy"), offline=False, log=lambda _: None)


def test_fetch_from_an_address(server, tiny_source, tiny_bodies, tmp_path):
    for name, body in tiny_bodies.items():
        server.offer(f"/mirror/{name}", body)
    source = tiny_source("http://unused")
    assert source.fetch(tmp_path, f"{server.url}/mirror", offline=False, log=lambda _: None).n_fetched == 4
    with pytest.raises(DataError, match="network access is disabled"):
        source.fetch(tmp_path / "other", f"{server.url}/mirror", offline=True, log=lambda _: None)


@pytest.mark.parametrize("origin", ["file:///tmp", "ftp://host/x", "no-such-folder", "~no-such-user/x", "http://"])
def test_fetch_from_something_else_is_a_usage_error(tiny_source, tmp_path, origin):
    with pytest.raises(UsageError, match="http or https address"):
        tiny_source().fetch(tmp_path, origin, offline=False, log=pytest.fail)


def test_the_lock_of_a_killed_process_is_released(tiny_source, tiny_data_dir):
    lock = tiny_data_dir / "prepared" / ".tiny.lock"
    lock.parent.mkdir()
    code = (
        "import filelock, sys, time\n"
        "filelock.FileLock(sys.argv[1]).acquire(); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    stray = lock.parent / ".tiny-of-a-killed-process"
    stray.mkdir()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    read(tiny_source(), tiny_data_dir)
    assert not stray.exists()


def test_waiting_for_another_process_is_logged(tiny_source, tiny_data_dir, messages):
    import threading

    from filelock import FileLock

    lock = FileLock(tiny_data_dir / "prepared" / ".tiny.lock", thread_local=False)
    os.makedirs(tiny_data_dir / "prepared")
    lock.acquire()
    release = threading.Timer(0.3, lock.release)
    release.start()
    read(tiny_source(), tiny_data_dir, messages.append)
    release.join()
    assert messages[0] == "waiting for another process that is fetching tiny"
