"""MNIST and Fashion-MNIST: the files, with what torchvision's classes say of them.

Mirrors and checksums are those of `torchvision.datasets.MNIST` and `FashionMNIST`, written down because importing
torchvision takes seconds, and a test holds the two together. The sizes bound what is read from a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcli.data.image_source import ImageSource
from mlcli.data.raw_files import RawFile

if TYPE_CHECKING:
    from mlcli.records import DatasetInfo


def mnist(info: DatasetInfo) -> ImageSource:
    """70,000 handwritten digits, 28x28 bytes."""
    return ImageSource(
        info=info,
        class_name="MNIST",
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        files=(
            RawFile("train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            RawFile("train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
            RawFile("t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
            RawFile("t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
    )


def fashion(info: DatasetInfo) -> ImageSource:
    """70,000 pictures of clothes, 28x28 bytes."""
    return ImageSource(
        info=info,
        class_name="FashionMNIST",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        files=(
            RawFile("train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            RawFile("train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe"),
            RawFile("t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79"),
            RawFile("t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    )
