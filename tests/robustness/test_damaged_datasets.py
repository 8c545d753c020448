"""A damaged dataset file is repaired or refused, whichever file and damage it is, and never used."""

from __future__ import annotations

import pytest

from mlcli.data.prepared import ARRAY_NAMES, MANIFEST
from mlcli.errors import DataError, ExitCode

RAW = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
PREPARED = [*(f"{name}.npy" for name in ARRAY_NAMES), MANIFEST]
DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "altered": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "emptied": lambda content: b"",
    "deleted": lambda content: None,
}


def damage(path, manner):
    content = DAMAGES[manner](path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def contents(data_dir):
    """Return the content of every file except the lock, which may appear at any time."""
    return {
        str(path.relative_to(data_dir)): path.read_bytes()
        for path in data_dir.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def read(source, data_dir, *, offline):
    return source.read(data_dir, offline=offline, log=lambda _: None).fingerprint


def refuse_offline(source, data_dir):
    """Read offline, expect an error that changes no file, and return its message."""
    before = contents(data_dir)
    with pytest.raises(DataError) as caught:
        read(source, data_dir, offline=True)
    assert caught.value.exit_code == ExitCode.DATA
    assert contents(data_dir) == before
    message = str(caught.value)
    assert len(message.splitlines()) == 3
    assert "network access is disabled (--offline or MLCLI_OFFLINE)" in message
    assert message.endswith(f"mlcli data fetch tiny --from DIR|URL --data-dir {data_dir}")
    return message


@pytest.fixture
def source(server, tiny_source, tiny_bodies):
    """The tiny source with a mirror that has every file."""
    for name, body in tiny_bodies.items():
        server.offer(f"/{name}", body)
    return tiny_source(server.url)


@pytest.fixture
def intact(source, tiny_data_dir):
    """The content of an intact data directory; after the test it must be the same again."""
    read(source, tiny_data_dir, offline=True)
    before = contents(tiny_data_dir)
    assert len(before) == len(RAW) + len(PREPARED)
    yield before
    assert contents(tiny_data_dir) == before


def raw_folder(data_dir):
    return data_dir / "FashionMNIST" / "raw"


def prepared_folder(data_dir):
    return data_dir / "prepared" / "tiny"


@pytest.mark.parametrize("manner", DAMAGES)
@pytest.mark.parametrize("name", RAW)
def test_a_damaged_raw_file_is_refused_offline_and_fetched_again_online(
    server, source, tiny_data_dir, tiny_bodies, name, manner
):
    path = raw_folder(tiny_data_dir) / name
    damage(path, manner)
    (check,) = (check for check in source.verify(tiny_data_dir).checks if check.state != "ok")
    assert (check.path, check.state) == (path, "missing" if manner == "deleted" else "altered")
    assert refuse_offline(source, tiny_data_dir).startswith(f"tiny: {path} ")
    read(source, tiny_data_dir, offline=False)
    assert dict(server.n_requests) == {f"/{name}": 1}
    assert {path.name: path.read_bytes() for path in raw_folder(tiny_data_dir).iterdir()} == tiny_bodies


@pytest.mark.parametrize("manner", DAMAGES)
@pytest.mark.parametrize("name", PREPARED)
def test_a_damaged_prepared_file_is_rebuilt_without_a_network(server, intact, source, tiny_data_dir, name, manner):
    fingerprint = read(source, tiny_data_dir, offline=True)
    damage(prepared_folder(tiny_data_dir) / name, manner)
    assert read(source, tiny_data_dir, offline=True) == fingerprint
    assert not server.n_requests


@pytest.mark.parametrize("manner", DAMAGES)
@pytest.mark.parametrize("prepared_name", PREPARED)
@pytest.mark.parametrize("raw_name", RAW)
def test_a_damaged_prepared_and_a_damaged_raw_file_together(
    server, intact, source, tiny_data_dir, raw_name, prepared_name, manner
):
    damage(prepared_folder(tiny_data_dir) / prepared_name, manner)
    damage(raw_folder(tiny_data_dir) / raw_name, manner)
    assert str(raw_folder(tiny_data_dir) / raw_name) in refuse_offline(source, tiny_data_dir)
    read(source, tiny_data_dir, offline=False)
    assert dict(server.n_requests) == {f"/{raw_name}": 1}


@pytest.mark.parametrize("manner", DAMAGES)
def test_all_files_damaged(server, intact, source, tiny_data_dir, manner):
    for name in intact:
        damage(tiny_data_dir / name, manner)
    refuse_offline(source, tiny_data_dir)
    read(source, tiny_data_dir, offline=False)
    assert dict(server.n_requests) == {f"/{name}": 1 for name in RAW}


@pytest.mark.parametrize("manner", DAMAGES)
@pytest.mark.parametrize("name", RAW)
def test_damaged_raw_files_next_to_intact_prepared_ones_are_reported_and_harmless(source, tiny_data_dir, name, manner):
    fingerprint = read(source, tiny_data_dir, offline=True)
    damage(raw_folder(tiny_data_dir) / name, manner)
    assert read(source, tiny_data_dir, offline=True) == fingerprint
    report = source.verify(tiny_data_dir)
    assert [check.path.name for check in report.checks if check.state != "ok"] == [name]
    assert report.usable


@pytest.mark.parametrize("manner", ["truncated", "altered", "emptied"])
@pytest.mark.parametrize("name", RAW)
def test_a_mirror_with_a_damaged_file_is_skipped(server, tiny_source, tiny_bodies, tmp_path, name, manner):
    for offered, body in tiny_bodies.items():
        server.offer(f"/whole/{offered}", body)
        server.offer(f"/damaged/{offered}", DAMAGES[manner](body) if offered == name else body)
    read(tiny_source(f"{server.url}/damaged", f"{server.url}/whole"), tmp_path, offline=False)
    assert server.n_requests[f"/damaged/{name}"] == server.n_requests[f"/whole/{name}"] == 1
    assert {path.name: path.read_bytes() for path in raw_folder(tmp_path).iterdir()} == tiny_bodies


@pytest.mark.parametrize("manner", ["truncated", "altered", "emptied", "deleted"])
@pytest.mark.parametrize("name", RAW)
def test_a_copy_with_a_damaged_file_is_refused(tiny_source, tiny_data_dir, tmp_path, name, manner):
    damage(raw_folder(tiny_data_dir) / name, manner)
    with pytest.raises(DataError, match=f"{raw_folder(tiny_data_dir) / name}: "):
        tiny_source().fetch(tmp_path / "new", str(tiny_data_dir), offline=True, log=lambda _: None)
    assert not (raw_folder(tmp_path / "new") / name).exists()
    assert not prepared_folder(tmp_path / "new").exists()
