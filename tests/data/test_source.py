from __future__ import annotations

import hashlib

import numpy as np

from mlcli.data.source import content_sha256, fingerprint


def test_content_digest_covers_little_endian_bytes_in_c_order():
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    expected = hashlib.sha256(b"".join(value.to_bytes(8, "little") for value in range(6))).hexdigest()
    assert content_sha256(array) == expected
    assert content_sha256(array.astype(">i8")) == expected
    assert content_sha256(np.asfortranarray(array)) == expected


def test_fingerprint_depends_on_values_shapes_dtypes_and_names():
    zeros = np.zeros((2, 3), np.uint8)
    others = [
        {"x": np.ones((2, 3), np.uint8)},
        {"x": np.zeros((3, 2), np.uint8)},
        {"x": np.zeros((2, 3), np.int8)},
        {"y": zeros},
        {"x": zeros, "y": zeros},
    ]
    prints = {fingerprint(arrays) for arrays in [{"x": zeros}, *others]}
    assert len(prints) == 6
    assert fingerprint({"x": zeros}) == fingerprint({"x": zeros.copy()})
