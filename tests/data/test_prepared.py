from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import pytest

from mlcli.data.prepared import ARRAY_NAMES, MANIFEST, PreparedError, is_complete, open_prepared, write_prepared
from mlcli.data.source import fingerprint
from mlcli.errors import DataError
from mlcli.records import DatasetInfo

INFO = DatasetInfo("tiny", "image", (1, 2, 3), ("a", "b"), (), n_train=5, n_test=2, title="Tiny")
MADE_FROM = {"raw.gz": "0123"}
ARRAYS = {
    "train_images": np.arange(30, dtype=np.uint8).reshape(5, 1, 2, 3),
    "train_labels": np.array([0, 1, 0, 1, 1]),
    "test_images": np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3),
    "test_labels": np.array([1, 0]),
}


@pytest.fixture
def folder(tmp_path):
    write_prepared(tmp_path / "tiny", ARRAYS, "tiny", MADE_FROM)
    return tmp_path / "tiny"


def test_arrays_are_read_back_memory_mapped_and_read_only(folder):
    data = open_prepared(folder, INFO, MADE_FROM)
    assert data.test is not None
    for name, array in zip(ARRAY_NAMES, (data.train.x, data.train.y, data.test.x, data.test.y), strict=True):
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.dtype == ARRAYS[name].dtype
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable
    assert data.fingerprint == fingerprint(ARRAYS)
    assert json.loads((folder / MANIFEST).read_text())["fingerprint"] == data.fingerprint
    assert is_complete(folder)


@pytest.mark.parametrize("name", ARRAY_NAMES)
@pytest.mark.parametrize("position", [-1, 20, 0])
def test_one_altered_byte_is_noticed(folder, name, position):
    path = folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(PreparedError, match=name):
        open_prepared(folder, INFO, MADE_FROM)


@pytest.mark.parametrize("keep", [0, 5, 64, 128, -1])
def test_a_truncated_file_is_noticed(folder, keep):
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PreparedError, match="train_images"):
        open_prepared(folder, INFO, MADE_FROM)
    assert not is_complete(folder)


def test_a_missing_file_is_noticed(folder):
    (folder / "test_labels.npy").unlink()
    with pytest.raises(PreparedError, match="test_labels"):
        open_prepared(folder, INFO, MADE_FROM)
    assert not is_complete(folder)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ARRAYS["train_images"]),
        ARRAYS["train_images"].reshape(5, 1, 3, 2),
        ARRAYS["train_images"].astype(np.int8),
    ],
    ids=["order", "shape", "dtype"],
)
def test_an_array_of_another_order_shape_or_dtype_is_noticed(folder, array):
    np.save(folder / "train_images.npy", array)
    with pytest.raises(PreparedError, match="train_images"):
        open_prepared(folder, INFO, MADE_FROM)


def test_a_file_with_objects_is_not_unpickled(folder):
    np.save(folder / "train_labels.npy", np.array([print] * 5, dtype=object), allow_pickle=True)
    with pytest.raises(PreparedError, match="train_labels"):
        open_prepared(folder, INFO, MADE_FROM)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"files": 3}', '{"files": {"x": 1}}', "[" * 60000, '"' + "x" * 70000 + '"', "\udcff"],
)
def test_an_invalid_manifest_is_noticed(folder, text):
    (folder / MANIFEST).write_text(text, errors="surrogateescape")
    with pytest.raises(PreparedError, match=MANIFEST):
        open_prepared(folder, INFO, MADE_FROM)
    assert not is_complete(folder)


def test_another_version_and_other_raw_files_are_noticed(folder):
    with pytest.raises(PreparedError, match="from other files"):
        open_prepared(folder, INFO, {"raw.gz": "4567"})
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"schema_version": 0}))
    with pytest.raises(PreparedError, match="another version"):
        open_prepared(folder, INFO, MADE_FROM)
    assert not is_complete(folder)


def test_an_existing_folder_is_replaced_and_abandoned_ones_are_removed(folder):
    (folder / "test_labels.npy").write_bytes(b"")
    (folder.parent / ".tiny-left-by-a-killed-process").mkdir()
    write_prepared(folder, ARRAYS, "tiny", MADE_FROM)
    open_prepared(folder, INFO, MADE_FROM)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_disk_leaves_no_folder_behind(monkeypatch, tmp_path):
    save = np.save

    def save_until_full(path, array, **options):
        if path.stem == "test_images":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, array, **options)

    monkeypatch.setattr(np, "save", save_until_full)
    with pytest.raises(DataError, match="tiny cannot be written: No space left on device\nfree some space"):
        write_prepared(tmp_path / "tiny", ARRAYS, "tiny", MADE_FROM)
    assert list(tmp_path.iterdir()) == []


def test_mapped_arrays_outlive_the_replacement_of_their_files(folder):
    data = open_prepared(folder, INFO, MADE_FROM)
    write_prepared(folder, {name: array * 0 for name, array in ARRAYS.items()}, "tiny", MADE_FROM)
    np.testing.assert_array_equal(data.train.x, ARRAYS["train_images"])


# Stand-ins for torchvision, imported one after the other in one process, because torch takes long to import.
SCRIPT = """
import sys
from pathlib import Path
import torch
from mlcli.data.prepared import torchvision_datasets
from mlcli.errors import MlcliError

def use(folder):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
        del sys.modules[name]
    sys.path.insert(0, str(Path(sys.argv[1]) / folder))

def has_schema():
    return any(schema.name == 'torchvision::nms' for schema in torch._C._jit_get_all_schemas())

use('healthy')
print(torchvision_datasets().NAME, has_schema())
use('broken')
try:
    torchvision_datasets()
except MlcliError as error:
    print(str(error).splitlines()[0], has_schema())
use('built_for_cuda')
print(torchvision_datasets().NAME, has_schema())
"""


def make_package(folder, init):
    package = folder / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(init)
    (package / "datasets.py").write_text(f"NAME = {folder.name!r}\n")


def test_operators_are_declared_only_after_the_import_failed_without_them(tmp_path):
    make_package(tmp_path / "healthy", "")
    make_package(tmp_path / "broken", "raise RuntimeError('libc is too old')\n")
    make_package(
        tmp_path / "built_for_cuda",
        "import torch\ntorch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'Meta')\n",
    )
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.stdout.splitlines() == [
        "healthy False",
        "torchvision, which decodes these images, cannot be imported: libc is too old False",
        "built_for_cuda True",
    ], result.stderr
