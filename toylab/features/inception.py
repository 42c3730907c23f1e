"""``inception:PATH``: Inception-v3 with a user's own weights, the net behind FID.

Inception weights are not distributed, for licence reasons. PATH is an npz with the arrays of the PyTorch port of the
network that defines FID, without its head: for each of 94 convolutions NAME.conv.weight (out, in, height, width) and
NAME.bn.weight, .bias, .running_mean, .running_var. README shows how to write it from a state dict.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from toylab.features.base import AbstractFeatureNet, Images, feature_nets
from toylab.storage.untrusted import one_line, read_layout
from toylab.types import AnyArray

SIDE, DIM = 299, 2048
MAX_BYTES = 128 * 2**20
BATCH_NORM_EPS = 1e-3
Activations = Float[AnyArray, "_ _ _ _"]
"""(n, height, width, channels)."""


@runtime_checkable
class Convolve(Protocol):
    """The convolution ``name`` with its normalisation and ReLU; ``same`` keeps height and width."""

    def __call__(
        self,
        name: str,
        x: Activations,
        width: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        same: bool = True,
    ) -> Activations:
        """``width`` output channels."""
        ...


@feature_nets.register("inception", citation="heusel2017gans")
class InceptionNet(AbstractFeatureNet):
    """2048 features of Inception-v3, weights from a file of yours: FID.

    Args:
        path: path of the npz.

    Raises:
        ValueError: other arrays or shapes than the network has, or values that are not finite; one line.
        FileNotFoundError: no such file.
    """

    name, distance, dim, chunk = "inception", "FID", DIM, 32

    def __init__(self, path: str | os.PathLike):
        try:
            self._weights = read_layout(Path(path), layout(), max_bytes=MAX_BYTES)
        except ValueError as error:
            raise ValueError(f"{path}: {one_line(error)}") from None

    def prepare(self, images: Images) -> Images:
        """Images of three channels; a single channel is repeated three times."""
        channels = images.shape[3]
        if channels not in (1, 3):
            raise ValueError(f"inception takes images of 1 or 3 channels, got {channels}")
        return np.repeat(images, 3, axis=3) if channels == 1 else images

    def forward(self, images: Images) -> Any:
        """Features of one chunk; no logits, since the network has no head."""
        return _features(self._weights, images), None


def layout() -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of the file."""
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name, x, width, kernel=(1, 1), stride=1, same=True):
        shapes[f"{name}.conv.weight"] = (width, x.shape[-1], *kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (width,)
        return _convolved(x, jnp.zeros((width, x.shape[-1], *kernel)), stride, same)

    jax.eval_shape(partial(network, record), jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), jnp.float32))
    return shapes


def network(conv: Convolve, x: Activations) -> Float[AnyArray, "n 2048"]:
    """Pooled features of 299 x 299 images in [-1, 1].

    Sources: Szegedy et al. 2016 (szegedy2016rethinking), Figures 5 to 7 and Table 1. As in the network of FID, average
    pooling does not count the padding, and the last block uses max pooling.
    """
    x = conv("Conv2d_1a_3x3", x, 32, (3, 3), stride=2, same=False)
    x = conv("Conv2d_2a_3x3", x, 32, (3, 3), same=False)
    x = conv("Conv2d_2b_3x3", x, 64, (3, 3))
    x = _max_pool(x)
    x = conv("Conv2d_3b_1x1", x, 80)
    x = conv("Conv2d_4a_3x3", x, 192, (3, 3), same=False)
    x = _max_pool(x)
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _block_35(conv, name, x, pooled)
    x = _reduce_35(conv, "Mixed_6a", x)
    for name, narrow in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _block_17(conv, name, x, narrow)
    x = _reduce_17(conv, "Mixed_7a", x)
    x = _block_8(conv, "Mixed_7b", x, _average_pool)
    x = _block_8(conv, "Mixed_7c", x, partial(_max_pool, stride=1, padding="SAME"))
    return jnp.mean(x, axis=(1, 2))


def _block_35(conv: Convolve, name: str, x: Activations, pooled: int) -> Activations:
    five = conv(f"{name}.branch5x5_1", x, 48)
    five = conv(f"{name}.branch5x5_2", five, 64, (5, 5))
    three = conv(f"{name}.branch3x3dbl_1", x, 64)
    three = conv(f"{name}.branch3x3dbl_2", three, 96, (3, 3))
    three = conv(f"{name}.branch3x3dbl_3", three, 96, (3, 3))
    pool = conv(f"{name}.branch_pool", _average_pool(x), pooled)
    return jnp.concatenate([conv(f"{name}.branch1x1", x, 64), five, three, pool], axis=-1)


def _reduce_35(conv: Convolve, name: str, x: Activations) -> Activations:
    three = conv(f"{name}.branch3x3", x, 384, (3, 3), stride=2, same=False)
    double = conv(f"{name}.branch3x3dbl_1", x, 64)
    double = conv(f"{name}.branch3x3dbl_2", double, 96, (3, 3))
    double = conv(f"{name}.branch3x3dbl_3", double, 96, (3, 3), stride=2, same=False)
    return jnp.concatenate([three, double, _max_pool(x)], axis=-1)


def _block_17(conv: Convolve, name: str, x: Activations, narrow: int) -> Activations:
    row, column = (1, 7), (7, 1)
    seven = conv(f"{name}.branch7x7_1", x, narrow)
    seven = conv(f"{name}.branch7x7_2", seven, narrow, row)
    seven = conv(f"{name}.branch7x7_3", seven, 192, column)
    double = conv(f"{name}.branch7x7dbl_1", x, narrow)
    for index, (kernel, width) in enumerate(((column, narrow), (row, narrow), (column, narrow), (row, 192))):
        double = conv(f"{name}.branch7x7dbl_{index + 2}", double, width, kernel)
    pool = conv(f"{name}.branch_pool", _average_pool(x), 192)
    return jnp.concatenate([conv(f"{name}.branch1x1", x, 192), seven, double, pool], axis=-1)


def _reduce_17(conv: Convolve, name: str, x: Activations) -> Activations:
    three = conv(f"{name}.branch3x3_1", x, 192)
    three = conv(f"{name}.branch3x3_2", three, 320, (3, 3), stride=2, same=False)
    seven = conv(f"{name}.branch7x7x3_1", x, 192)
    seven = conv(f"{name}.branch7x7x3_2", seven, 192, (1, 7))
    seven = conv(f"{name}.branch7x7x3_3", seven, 192, (7, 1))
    seven = conv(f"{name}.branch7x7x3_4", seven, 192, (3, 3), stride=2, same=False)
    return jnp.concatenate([three, seven, _max_pool(x)], axis=-1)


def _block_8(
    conv: Convolve, name: str, x: Activations, pool: Callable[[Activations], Activations]
) -> Activations:
    three = conv(f"{name}.branch3x3_1", x, 384)
    double = conv(f"{name}.branch3x3dbl_1", x, 448)
    double = conv(f"{name}.branch3x3dbl_2", double, 384, (3, 3))
    halves = [
        conv(f"{name}.{branch}{half}", source, 384, kernel)
        for branch, source in (("branch3x3_2", three), ("branch3x3dbl_3", double))
        for half, kernel in (("a", (1, 3)), ("b", (3, 1)))
    ]
    pooled = conv(f"{name}.branch_pool", pool(x), 192)
    return jnp.concatenate([conv(f"{name}.branch1x1", x, 320), *halves, pooled], axis=-1)


def _convolved(
    x: Activations, kernel: Float[AnyArray, "width depth rows columns"], stride: int, same: bool
) -> Activations:
    padding = "SAME" if same else "VALID"
    return lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(kernel),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "OIHW", "NHWC"),
    )


def _max_pool(x: Activations, stride: int = 2, padding: str = "VALID") -> Activations:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, stride, stride, 1), padding)


def _average_pool(x: Activations) -> Activations:
    """3x3 means without padding: at the border over fewer than nine values."""
    sums, counts = (
        lax.reduce_window(each, 0.0, lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
        for each in (x, jnp.ones_like(x[:1, :, :, :1]))
    )
    return sums / counts


@jax.jit
def _features(weights: dict[str, Any], images: Images) -> Float[AnyArray, "n 2048"]:
    def conv(name, x, width, kernel=(1, 1), stride=1, same=True):
        scale, bias, mean, variance = (
            weights[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = _convolved(x, weights[f"{name}.conv.weight"], stride, same)
        return jax.nn.relu((x - mean) * (scale * lax.rsqrt(variance + BATCH_NORM_EPS)) + bias)

    large = jax.image.resize(images, (len(images), SIDE, SIDE, 3), "linear", antialias=False)
    return network(conv, large)
