"""What a set of images is as arrays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8


class Images(NamedTuple):
    """Labelled images: pixels in [-1, 1], black at -1; labels from 0."""

    pixels: Float[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]


def scaled(
    values: UInt8[np.ndarray, "n height width"], labels: UInt8[np.ndarray, " n"], white: int
) -> Images:
    """Whole numbers 0 .. ``white`` of one channel as pixels in [-1, 1], float32; labels as int32."""
    pixels = values.astype(np.float32) * np.float32(2 / white) - 1
    return Images(pixels[..., None], labels.astype(np.int32))
