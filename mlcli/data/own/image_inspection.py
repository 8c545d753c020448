"""What is in a person's own folder of images, and what looks wrong with it beyond what is judged by class."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from mlcli.data.own.image_dataset import OwnImages
from mlcli.data.own.image_preparation import bad_images
from mlcli.records import Split
from mlcli.text import listed

_N_SHOWN = 6
_ALPHA_MODES = ("LA", "PA", "RGBA")


@dataclass(frozen=True)
class InspectedImages:
    """The images of one part by their files. sizes: height x width, upright, the most frequent first."""

    part: str
    n_images: int  # without damaged ones
    n_damaged: int
    sizes: str
    modes: str  # of Pillow: L for grey levels, RGB for colours


def inspected_images(own: OwnImages) -> tuple[InspectedImages, ...]:
    """Return what the files of every part hold, training first."""
    return tuple(
        InspectedImages(part, len(own.samples[part]), len(found.bad), _counts(found.sizes), _counts(found.modes))
        for part, found in own.found.items()
    )


def _counts(counts: Counter[str]) -> str:
    return listed([f"{name} ({n:,})" for name, n in counts.most_common()], _N_SHOWN)


def image_findings(own: OwnImages) -> list[str]:
    """Return what looks wrong, each with what to do."""
    bad = [one for found in own.found.values() for one in found.bad]
    findings = list(own.folder.notes)
    if bad:
        findings.append(f"{bad_images(len(bad), bad)}: repair or remove them, or set dataset.on_bad to skip")
    n_alpha = sum(found.modes[mode] for found in own.found.values() for mode in _ALPHA_MODES)
    if n_alpha:
        findings.append(
            f"images with an alpha channel: {n_alpha:,}; it is ignored, and what is transparent counts with its stored "
            "colour: save them on a background"
        )
    return [*findings, *_repeated(own)]


def _repeated(own: OwnImages) -> list[str]:
    """Return findings if test images are equal to training images, and if equal images are in different classes."""
    train, test = own.dataset.train, own.dataset.test
    known = dict(zip(_digests(train), train.y.tolist(), strict=True))
    n_classes_differ = sum(known[digest] != y for digest, y in zip(_digests(train), train.y.tolist(), strict=True))
    n_repeated = 0 if test is train else sum(digest in known for digest in _digests(test))
    findings = []
    if n_repeated:
        findings.append(
            f"{n_repeated:,} of {len(test):,} test images are equal to a training image: test scores are too good; "
            "remove repeated images"
        )
    if n_classes_differ:
        findings.append(
            f"training images that are equal to one of another class: {n_classes_differ:,}; keep one of them"
        )
    return findings


def _digests(split: Split) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in split.x]
