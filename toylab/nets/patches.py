"""Images as rows of patches, and where each of them lies."""

from functools import lru_cache

import numpy as np
from jaxtyping import Array, Float

from toylab.nets.embed import MAX_PERIOD


def to_patches(image: Float[Array, "height width channels"], patch: int) -> Float[Array, "patches values"]:
    """Squares of ``patch`` x ``patch`` pixels, row by row, the values of each in one row."""
    height, width, channels = image.shape
    tiles = image.reshape(height // patch, patch, width // patch, patch, channels)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(-1, patch * patch * channels)


def from_patches(
    patches: Float[Array, "patches values"], image_shape: tuple[int, int, int], patch: int
) -> Float[Array, "height width channels"]:
    """The inverse of `to_patches`."""
    height, width, channels = image_shape
    tiles = patches.reshape(height // patch, width // patch, patch, patch, channels)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height, width, channels)


@lru_cache(maxsize=32)
def positions(rows: int, columns: int, dim: int) -> Float[np.ndarray, "patches dim"]:
    """Sines and cosines of each patch's row (first half of ``dim``) and column (second half), never trained.

    Source: Dosovitskiy et al. 2021 for patches, with the fixed frequencies of Vaswani et al. 2017.
    """
    quarter = dim // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter) / quarter)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in (row, column)]
    return np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)], axis=1).astype(np.float32)
