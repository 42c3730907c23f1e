"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

from functools import cache

import numpy as np

from toylab.data.images.base import ByteImages, Images, ImageSet, image_set, image_sets
from toylab.options import truth


@image_sets.register("digits", citation="alpaydin1998cascading")
def digits(labels: bool = True) -> ImageSet:
    """1,797 handwritten digits of 8 x 8 pixels, with or without their classes."""
    return _built(truth("labels", labels))


def digits_images() -> Images:
    """The 1,797 digits, pixels (1797, 8, 8, 1), ten classes of 174 to 183 each.

    Source: Alpaydin and Kaynak 1998 (alpaydin1998cascading): the test part of the UCI set of optical digits.
    """
    return _loaded().scaled()


@cache
def _built(labels: bool) -> ImageSet:
    return image_set(_loaded(), labels)


@cache
def _loaded() -> ByteImages:
    # Imported here: scikit-learn takes most of a second to import, and only this dataset needs it.
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    return ByteImages(
        np.asarray(values, np.uint8).reshape(-1, 8, 8, 1), np.asarray(labels, np.int32), white=16
    )
