"""How much an archive would become: a small one can announce, and hold, more than any machine has memory."""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO

from numpy.lib import format as npy_format

_FREE_BYTES = 256 * 2**20
_MOST_RATIO = 20  # of content to archive; numbers rarely shrink to a tenth


def check_members(data: bytes) -> None:
    """ValueError for an archive, or one in it, that grows out of all proportion, or with arrays of other sizes than
    they announce; the errors of zipfile for what is no archive.
    """
    room = max(_FREE_BYTES, _MOST_RATIO * len(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > room:
            raise ValueError(f"an archive of {len(data):,} bytes that grows beyond {room:,}")
        for member in members:
            if member.filename.endswith(".npz"):
                check_members(archive.read(member))
            elif member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    _check_array(stream, member.file_size)


def _check_array(stream: IO[bytes], n_bytes: int) -> None:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != n_bytes - stream.tell():
        raise ValueError("an array of Python objects, or of another size than it announces")
