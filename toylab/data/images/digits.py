"""Handwritten digits of 8 x 8 pixels, which come with scikit-learn."""

import numpy as np

from toylab.data.images.images import Images, scaled


def digits_images() -> Images:
    """The 1,797 digits, pixels (1797, 8, 8, 1), ten classes of 174 to 183 each.

    Source: Alpaydin and Kaynak 1998 (alpaydin1998cascading): the test part of the UCI set of optical digits.
    """
    from sklearn.datasets import load_digits  # most of a second: only those pay who look at digits

    values, labels = load_digits(return_X_y=True)
    return scaled(values.reshape(-1, 8, 8).astype(np.uint8), labels.astype(np.uint8), white=16)
