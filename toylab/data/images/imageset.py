"""A set of images as a distribution: each of them equally likely."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from toylab.data.base import AbstractDataset, Moments, Place
from toylab.data.images.images import ByteImages
from toylab.data.images.order import shuffled_rows
from toylab.registry import Registry
from toylab.types import AnyArray, DataShape, Labels, Matrix, Point, Points, PRNGKey, Scalar

image_sets: Registry[AbstractDataset] = Registry("image set", "toylab.data.images")


class ImageSet(AbstractDataset):
    """The empirical distribution of images, pixels in [-1, 1]; with labels a joint distribution of both.

    Pixels are kept as bytes: a quarter of the memory of their values.

    Args:
        pixels: whole numbers from 0 (black), row by row.
        labels: classes from 0.
        factor: pixels in [-1, 1] are factor * byte - 1.
        mean_square: E|x0|^2.
        geometry: what a net must know.
        stand_in: whether these are random bytes in the place of images that are not at hand.
    """

    pixels: UInt8[AnyArray, "n dim"]
    labels: Int[AnyArray, " n"]
    factor: Scalar | float
    mean_square: Scalar | float
    geometry: DataShape = eqx.field(static=True)
    stand_in: bool = eqx.field(static=True, default=False)

    @property
    def shape(self) -> DataShape:
        """Pixels, and classes if they are told."""
        return self.geometry

    @property
    def dim(self) -> int:
        """Pixels times channels."""
        return self.geometry.dim

    @property
    def is_stand_in(self) -> bool:
        """Whether there are no images behind it."""
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
        """Mean and covariance of v_cond given x_t = x, over the posterior of all images: exact, and as dear as them.

        Raises:
            ValueError: with labels, each class has a velocity of its own.
        """
        if self.geometry.num_classes:
            raise ValueError("images with labels have no one velocity: give the dataset option labels=false")
        images = self._scaled(jnp.asarray(self.pixels))
        posterior = jax.nn.softmax(-0.5 * jnp.sum(((x - (1 - t) * images) / t) ** 2, axis=1))
        mean = posterior @ images
        deviations = (images - mean) / t
        return (x - mean) / t, (posterior[:, None] * deviations).T @ deviations

    def moments(self) -> Moments:
        """Mean and covariance of the pixels."""
        values = np.asarray(self.pixels, np.float64) * float(self.factor) - 1
        return Moments(values.mean(axis=0), np.cov(values, rowvar=False, bias=True))

    def zero_loss(self) -> float:
        """dim + E|x0|^2."""
        return float(self.dim + self.mean_square)

    def _scaled(self, pixels: UInt8[AnyArray, "n dim"]) -> Points:
        return pixels.astype(jnp.float32) * jnp.asarray(self.factor, jnp.float32) - 1


def image_set(images: ByteImages, labels: bool, stand_in: bool = False) -> ImageSet:
    """The empirical distribution of ``images``; ``labels`` says whether a net is told their classes."""
    count, *shape = images.values.shape
    height, width, channels = shape
    factor = 2 / images.white
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
