"""Latents of images that a user has encoded: shards of means and standard deviations, with fresh noise per draw.

A folder holds ``latents-00000.npy``, ``latents-00001.npy``, ...: float16 (n, height, width, 2 channels), the first half
of the channels means, the second standard deviations, and ``labels.npy``: whole numbers, one per row of all shards in
the order of their names.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float16, Int

from toylab.data.base import AbstractDataset, Moments, Place
from toylab.data.images.base import image_sets
from toylab.data.images.order import shuffled_rows
from toylab.options import truth, whole
from toylab.types import AnyArray, DataShape, Labels, Matrix, Point, Points, PRNGKey, Scalar

LATENT_SCALE = 0.18215
"""Factor that gives the latents of Stable Diffusion's first autoencoder a standard deviation near one."""
IMAGENET = DataShape(32 * 32 * 4, (32, 32, 4), 1000)
LABELS = "labels.npy"


class Latents(AbstractDataset):
    """(mean + std * noise) * 0.18215 of a random image, with fresh noise.

    Without rows it is a stand-in of Gaussian noise, to measure cost and time.

    Args:
        rows: means, then standard deviations, of every pixel; none in a stand-in.
        labels: classes from 0.
        mean_square: E|x0|^2.
        geometry: shape of the data for the net.
    """

    rows: Float16[AnyArray, "n two_dim"]
    labels: Int[AnyArray, " n"]
    mean_square: Scalar | float
    geometry: DataShape = eqx.field(static=True)

    @property
    def shape(self) -> DataShape:
        """Size of a latent image, and number of classes if the net receives labels."""
        return self.geometry

    @property
    def dim(self) -> int:
        """Pixels times channels."""
        return self.geometry.dim

    @property
    def is_stand_in(self) -> bool:
        """Whether there are no latents, so that draws are Gaussian noise."""
        return self.rows.shape[0] == 0

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` latents of images drawn with replacement."""
        return self.draw_labelled(key, n)[0]

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """``n`` latents and labels: of the images at ``place`` of a shuffled stream, or drawn with replacement."""
        key_rows, key_noise = jax.random.split(key)
        size, num_classes = self.rows.shape[0], self.geometry.num_classes
        noise = jax.random.normal(key_noise, (n, self.dim))
        if not size:
            labels = jax.random.randint(key_rows, (n,), 0, max(1, num_classes))
            return noise, labels if num_classes else None
        index = (
            jax.random.randint(key_rows, (n,), 0, size) if place is None else shuffled_rows(place, n, size)
        )
        mean, std = self._parts(jnp.asarray(self.rows)[index].astype(jnp.float32))
        points = LATENT_SCALE * (mean + std * noise)
        return points, jnp.asarray(self.labels)[index] if num_classes else None

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Not available for latents.

        Raises:
            ValueError: always.
        """
        raise ValueError("latents have no exact velocity; choices: a proxy made of the net (ema, online)")

    def moments(self) -> Moments:
        """Not computed: the covariance of thousands of coordinates.

        Raises:
            ValueError: always.
        """
        raise ValueError("latents declare no moments")

    def zero_loss(self) -> float:
        """dim + E|x0|^2."""
        return float(self.dim + self.mean_square)

    def _parts(self, rows: Float[AnyArray, "n two_dim"]) -> tuple[Points, Points]:
        """Means and standard deviations: the two halves of the channels of each pixel."""
        pixels = rows.reshape(len(rows), -1, 2, self.geometry.dim // self._num_pixels)
        return pixels[:, :, 0].reshape(len(rows), -1), pixels[:, :, 1].reshape(len(rows), -1)

    @property
    def _num_pixels(self) -> int:
        assert self.geometry.image is not None
        height, width, _ = self.geometry.image
        return height * width


@image_sets.register("latents", citation="peebles2023scalable")
def latents(folder: str = "", labels: bool = True, num_classes: int = 1000) -> Latents:
    """Latents of images encoded by the user, from a folder of shards; without a folder a stand-in for measurements.

    Args:
        folder: folder of the shards; without one, a stand-in of 32 x 32 x 4.
        labels: whether the net receives the classes.
        num_classes: number of classes.

    Raises:
        ValueError: a shard of another format; the message names the file.
        FileNotFoundError: the folder has no shards.
    """
    count = whole("num_classes", num_classes, 1, 1_000_000) if truth("labels", labels) else 0
    if folder:
        return _read(str(folder), count)
    none = np.zeros((0, 2 * IMAGENET.dim), np.float16)
    return Latents(none, np.zeros(0, np.int32), float(IMAGENET.dim), IMAGENET._replace(num_classes=count))


def write_latents(
    folder: Path,
    moments: Iterable[Float[np.ndarray, "_ two_channels height width"]],
    labels: Int[np.ndarray, " n"],
) -> int:
    """Write shards from means and standard deviations as an encoder gives them, channels first; returns the rows.

    Raises:
        ValueError: another number of labels than rows, or numbers that float16 cannot hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, values in enumerate(moments):
        with np.errstate(over="ignore"):  # an overflow becomes an error below
            shard = np.moveaxis(np.asarray(values), 1, -1).astype(np.float16)
        if not np.all(np.isfinite(shard)):
            raise ValueError(f"shard {number} has values that float16 cannot hold")
        np.save(folder / f"latents-{number:05d}.npy", shard, allow_pickle=False)
        total += len(shard)
    if total != len(labels):
        raise ValueError(f"{total} latents need as many labels, got {len(labels)}")
    np.save(folder / LABELS, np.asarray(labels, np.int32), allow_pickle=False)
    return total


@cache
def _read(folder: str, num_classes: int) -> Latents:
    paths = sorted(Path(folder).glob("latents-*.npy"))
    if not paths or not (Path(folder) / LABELS).is_file():
        raise FileNotFoundError(f"{folder}: needs latents-*.npy and {LABELS} (scripts/make_latent_shards.py)")
    shards = [_shard(path) for path in paths]
    if len({shard.shape[1:] for shard in shards}) > 1:
        raise ValueError(f"{folder}: shards of different shapes")
    labels = np.load(Path(folder) / LABELS, allow_pickle=False)
    total = sum(map(len, shards))
    if labels.shape != (total,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{folder}/{LABELS}: must be {total} whole numbers, is {labels.dtype} {labels.shape}"
        )
    if num_classes and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(f"{folder}/{LABELS}: labels must lie in [0, {num_classes - 1}]")
    _, height, width, channels = shards[0].shape
    image = (height, width, channels // 2)
    square = sum(float(np.sum(shard.astype(np.float32) ** 2)) for shard in shards)
    rows = np.concatenate([shard.reshape(len(shard), -1) for shard in shards])
    geometry = DataShape(height * width * image[2], image, num_classes)
    return Latents(rows, labels.astype(np.int32), LATENT_SCALE**2 * square / total, geometry)


def _shard(path: Path) -> Float16[np.ndarray, "n height width two_channels"]:
    """One shard, its header checked before its bytes are read; mapped, not loaded."""
    try:
        shard = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a NumPy array ({error})") from None
    if shard.dtype != np.float16 or shard.ndim != 4 or not len(shard) or shard.shape[-1] % 2:
        raise ValueError(
            f"{path}: must be float16 (n, height, width, 2 channels), is {shard.dtype} {shard.shape}"
        )
    return shard
