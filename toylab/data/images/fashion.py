"""Fashion-MNIST, read from the files of an installed Debian package; nothing is downloaded."""

import gzip
import hashlib
import os
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from toylab.data.images.base import ByteImages, Images, ImageSet, image_set, image_sets
from toylab.options import truth

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Folder of the package's files; the environment variable TOYLAB_FASHION names another one."""
INSTALL = "apt-get install dataset-fashion-mnist"
WITHOUT_ROOT = "apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb DIR"

SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Digests of the unpacked files: the package compresses them anew, so that the packed files differ from upstream's."""
COUNTS = {"train": 60_000, "t10k": 10_000}
SIDE = 28
PARTS = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}


@image_sets.register("fashion", citation="xiao2017fashion")
def fashion(labels: bool = True, part: str = "train", side: int = 32, stand_in: bool = False) -> ImageSet:
    """Fashion-MNIST: 60,000 photographs of clothes, ten classes, in a black frame of 32 x 32 pixels.

    Args:
        labels: whether the net receives the classes.
        part: train, test or all.
        side: 28, or 32 with a frame of two pixels, so that patches of 4 and 8 divide the image.
        stand_in: random bytes of the same sizes, to measure cost and time where the files are not installed.

    Raises:
        ValueError: another part or side, or a damaged file.
        FileNotFoundError: the files are not installed; the message says how to install them.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r} of fashion; choices: {', '.join(PARTS)}")
    if side not in (SIDE, SIDE + 4):
        raise ValueError(f"side must be {SIDE} or {SIDE + 4}, got {side!r}")
    return _built(truth("labels", labels), part, (side - SIDE) // 2, truth("stand_in", stand_in))


def fashion_images(part: str = "train") -> Images:
    """Photographs of clothes, pixels (n, 28, 28, 1): n = 60,000 (train), 10,000 (test) or both (all); ten classes.

    Raises:
        ValueError: an unknown part, or a file whose SHA-256 is not the published one.
        FileNotFoundError: the package is not installed; the message says how to install it.

    Source: Xiao, Rasul and Vollgraf 2017 (xiao2017fashion).
    """
    return _loaded(part).scaled()


@cache
def _built(labels: bool, part: str, frame: int, stand_in: bool) -> ImageSet:
    images = _random(part) if stand_in else _loaded(part)
    framed = np.pad(images.values, [(0, 0), (frame, frame), (frame, frame), (0, 0)])
    return image_set(images._replace(values=framed), labels, stand_in)


def _random(part: str) -> ByteImages:
    """Random bytes and classes, as many as there are images."""
    count, random = sum(COUNTS[name] for name in PARTS[part]), np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, SIDE, SIDE, 1), np.uint8)
    return ByteImages(pixels, np.arange(count, dtype=np.int32) % 10, white=255)


def _loaded(part: str) -> ByteImages:
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r} of fashion; choices: {', '.join(PARTS)}")
    folder = Path(os.environ.get("TOYLAB_FASHION", FOLDER))
    pixels, labels = [], []
    for name in PARTS[part]:
        count = COUNTS[name]
        images = _read(folder, f"{name}-images-idx3-ubyte", header=16, size=count * SIDE**2)
        pixels.append(images.reshape(count, SIDE, SIDE, 1))
        labels.append(_read(folder, f"{name}-labels-idx1-ubyte", header=8, size=count))
    return ByteImages(np.concatenate(pixels), np.concatenate(labels).astype(np.int32), white=255)


def _read(folder: Path, name: str, header: int, size: int) -> UInt8[np.ndarray, " size"]:
    """The bytes after the header of one idx file, checked by their digest."""
    path = folder / f"{name}.gz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: install Fashion-MNIST by `{INSTALL}` (Debian, Ubuntu), or without root by "
            f"`{WITHOUT_ROOT}` and TOYLAB_FASHION=DIR{FOLDER}"
        )
    with gzip.open(path, "rb") as stream:
        # One byte more than expected: enough for the digest to detect a longer file, whatever it unpacks to.
        data = stream.read(header + size + 1)
    if (found := hashlib.sha256(data).hexdigest()) != SHA256[name]:
        raise ValueError(
            f"{path} is not Fashion-MNIST: unpacked it has SHA-256 {found[:12]}..., "
            f"not {SHA256[name][:12]}..."
        )
    return np.frombuffer(data, np.uint8, offset=header)
