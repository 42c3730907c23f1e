"""Images as one picture: a grid of them, encoded as PNG. No jax."""

import io
import math

import numpy as np
from jaxtyping import Float, Int, UInt8

MAX_IMAGES = 4096
MAX_COLUMNS = 12
GRID_ROWS = 8
"""Of a grid of samples beside one of real images."""
LEAST_PIXELS = 32
"""Images of fewer pixels along a side are magnified by a whole number, so that one can see them."""


def grid_png(images: Float[np.ndarray, "n height width channels"], columns: int = 0) -> bytes:
    """A grid of the first 4096 images, row by row.

    Args:
        images: pixels in [-1, 1], beyond which they are cut off; one channel is grey, three are colours, and of any
            other number the first is shown.
        columns: of the grid; 0 makes a square of it.

    Raises:
        ValueError: pixels that are NaN.
    """
    return bytes_png(to_bytes(images[:MAX_IMAGES]), columns)


def bytes_png(pixels: UInt8[np.ndarray, "n height width shown"], columns: int = 0) -> bytes:
    """A grid of images as `to_bytes` makes them; 0 columns make a square of it."""
    from PIL import Image  # most users of this module only arrange arrays

    picture = Image.fromarray(tiled(pixels, columns or math.ceil(math.sqrt(len(pixels)))))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def to_bytes(
    images: Float[np.ndarray, "n height width channels"],
) -> UInt8[np.ndarray, "n height width shown"]:
    """Pixels in [-1, 1] as 0 .. 255, of one or three channels.

    Raises:
        ValueError: pixels that are NaN.
    """
    if np.isnan(images).any():
        raise ValueError("images have pixels that are NaN")
    shown = images if images.shape[-1] in (1, 3) else images[..., :1]
    return np.round((np.clip(shown, -1, 1) + 1) * 127.5).astype(np.uint8)


def columns_of(num_classes: int) -> int:
    """Columns of a grid of images of classes in turn: one per class where those fit, so that a column is a class."""
    return num_classes if 2 <= num_classes <= MAX_COLUMNS else 10


def class_order(labels: Int[np.ndarray, " n"], num_classes: int, rows: int) -> Int[np.ndarray, " shown"]:
    """Rows of a labelled set such that image i is of class i modulo their number: at most ``rows`` of each class."""
    of_class = [np.flatnonzero(labels == label) for label in range(num_classes)]
    shown = min(rows, *(len(found) for found in of_class))
    return np.stack([found[:shown] for found in of_class], axis=1).ravel()


def tiled(pixels: UInt8[np.ndarray, "n height width shown"], columns: int) -> UInt8[np.ndarray, "..."]:
    """The picture as rows of pixels, with a line of grey between images; grey pictures without a last axis."""
    count, height, width, _ = pixels.shape
    zoom = max(1, -(-LEAST_PIXELS // max(height, width)))
    large = pixels.repeat(zoom, axis=1).repeat(zoom, axis=2)
    framed = np.pad(large, [(0, -count % columns), (0, 1), (0, 1), (0, 0)], constant_values=128)
    rows = framed.reshape(-1, columns, *framed.shape[1:])
    picture = rows.transpose(0, 2, 1, 3, 4).reshape(rows.shape[0] * rows.shape[2], -1, pixels.shape[-1])
    return picture.squeeze(-1) if picture.shape[-1] == 1 else picture
