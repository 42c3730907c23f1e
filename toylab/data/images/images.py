"""What a set of images is as arrays."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8


class Images(NamedTuple):
    """Labelled images: pixels in [-1, 1], black at -1, float32; labels from 0, int32."""

    pixels: Float[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]


class ByteImages(NamedTuple):
    """Labelled images as they are stored: whole numbers from 0 (black) to ``white``."""

    values: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]
    white: int

    def scaled(self) -> Images:
        """Pixels in [-1, 1]."""
        return Images(self.values.astype(np.float32) * np.float32(2 / self.white) - 1, self.labels)
