"""Labelled images as arrays, and a set of images as a distribution in which each of them is equally likely."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from toylab.data.base import AbstractDataset, Moments, Place
from toylab.data.images.order import shuffled_rows
from toylab.registry import Registry
from toylab.types import AnyArray, DataShape, Labels, Matrix, Point, Points, PRNGKey, Scalar

image_sets: Registry[AbstractDataset] = Registry("image set", "toylab.data.images")


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


class ImageSet(AbstractDataset):
    """The empirical distribution of images with pixels in [-1, 1], or the joint distribution of images and labels.

    Pixels are stored as bytes, in a quarter of the memory of float32, and scaled when they are drawn.

    Args:
        pixels: whole numbers from 0 (black), row by row.
        labels: classes from 0.
        factor: pixels in [-1, 1] are factor * byte - 1.
        mean_square: E|x0|^2.
        geometry: shape of the data for the net.
        stand_in: whether these are random bytes in place of images that are not installed.
    """

    pixels: UInt8[AnyArray, "n dim"]
    labels: Int[AnyArray, " n"]
    factor: Scalar | float
    mean_square: Scalar | float
    geometry: DataShape = eqx.field(static=True)
    stand_in: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> DataShape:
        """Size of an image, and number of classes if the net receives labels."""
        return self.geometry

    @property
    def dim(self) -> int:
        """Pixels times channels."""
        return self.geometry.dim

    @property
    def is_stand_in(self) -> bool:
        """Whether the pixels are random bytes."""
        return self.stand_in

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` images drawn with replacement."""
        return self.draw_labelled(key, n)[0]

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """``n`` images and labels: those at ``place`` of a shuffled stream, or drawn with replacement."""
        size = self.pixels.shape[0]
        rows = jax.random.randint(key, (n,), 0, size) if place is None else shuffled_rows(place, n, size)
        points = self._scaled(jnp.asarray(self.pixels)[rows])
        return points, jnp.asarray(self.labels)[rows] if self.geometry.num_classes else None

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x: exact, by a sum over all images.

        Raises:
            ValueError: the set has labels, so that each class has a velocity of its own.
        """
        if self.geometry.num_classes:
            raise ValueError(
                "images with labels have one velocity per class: give the dataset option labels=false"
            )
        images = self._scaled(jnp.asarray(self.pixels))
        posterior = jax.nn.softmax(-0.5 * jnp.sum(((x - (1 - t) * images) / t) ** 2, axis=1))
        mean = posterior @ images
        deviations = (images - mean) / t
        return (x - mean) / t, (posterior[:, None] * deviations).T @ deviations

    def moments(self) -> Moments:
        """Mean and covariance of the pixels."""
        # float64 on the host: sums over 60,000 images lose digits in float32.
        values = np.asarray(self.pixels, np.float64) * float(self.factor) - 1
        return Moments(values.mean(axis=0), np.cov(values, rowvar=False, bias=True))

    def zero_loss(self) -> float:
        """dim + E|x0|^2."""
        return float(self.dim + self.mean_square)

    def _scaled(self, pixels: UInt8[AnyArray, "n dim"]) -> Points:
        return pixels.astype(jnp.float32) * jnp.asarray(self.factor, jnp.float32) - 1


def image_set(images: ByteImages, labels: bool, stand_in: bool = False) -> ImageSet:
    """The empirical distribution of ``images``; with ``labels`` the net receives their classes."""
    count, *shape = images.values.shape
    height, width, channels = shape
    factor = 2 / images.white
    # E|x0|^2 from the histogram of bytes: exact, without a float copy of all pixels.
    values = np.arange(images.white + 1) * factor - 1
    occurrences = np.bincount(images.values.ravel(), minlength=images.white + 1)
    return ImageSet(
        pixels=images.values.reshape(count, -1),
        labels=images.labels,
        factor=factor,
        mean_square=float(occurrences @ values**2 / count),
        geometry=DataShape(
            height * width * channels,
            (height, width, channels),
            int(images.labels.max()) + 1 if labels else 0,
        ),
        stand_in=stand_in,
    )
