"""Base class of feature nets: images in, features and optionally logits out."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike

from toylab.registry import Registry
from toylab.types import AnyArray

Images = Float32[AnyArray, "_ _ _ _"]
"""Images (n, height, width, channels) in [-1, 1]."""


class Features(NamedTuple):
    """Output of a feature net for n images.

    Args:
        values: features, as float64, since covariances are computed from them.
        logits: logits of the classes; None for a net that is no classifier.
    """

    values: Float[np.ndarray, "n dim"]
    logits: Float[np.ndarray, "n classes"] | None


class AbstractFeatureNet(ABC):
    """A fixed net whose features are compared; call it with images.

    Args:
        name: id of the net, part of every score computed with it.
        distance: name of the Frechet distance of its features; FID for Inception only.
        dim: number of features.
        accuracy: share of ``num_test`` held-out images that it classifies correctly; None for a net that is no
            classifier.
        chunk: number of images per forward pass.
    """

    name: str
    distance: str
    dim: int
    accuracy: float | None = None
    num_test: int = 0
    chunk: int = 512

    @abstractmethod
    def prepare(self, images: Images) -> Images:
        """Images in the shape that the net takes.

        Raises:
            ValueError: a shape that the net does not accept; the message names the accepted ones.
        """

    @abstractmethod
    def forward(self, images: Images) -> Any:
        """Features and logits (or None) of one chunk of prepared images."""

    def __call__(self, images: ArrayLike) -> Features:
        """Features of ``images`` (n, height, width, channels); values are clipped to [-1, 1], as on a screen.

        Raises:
            ValueError: not four axes, no image, values that are not finite, or a shape that the net does not accept.
        """
        checked = self.prepare(as_images(images))
        with jax.enable_x64(
            False
        ):  # the weights are float32: the same features whatever the caller has enabled
            parts = [self.forward(checked[i : i + self.chunk]) for i in range(0, len(checked), self.chunk)]
        values = np.concatenate([np.asarray(features, np.float64) for features, _ in parts])
        logits = None if parts[0][1] is None else np.concatenate([np.asarray(each) for _, each in parts])
        return Features(values, logits)


def as_images(images: ArrayLike) -> Images:
    """``images`` as a float32 array (n, height, width, channels), clipped to [-1, 1].

    Raises:
        ValueError: not numbers, not four axes, empty, or values that are NaN or infinite.
    """
    array = np.asarray(images)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"images must be real numbers in [-1, 1], got dtype {array.dtype}")
    if array.ndim != 4 or array.size == 0:
        raise ValueError(f"images must have shape (n, height, width, channels), got {array.shape}")
    array = array.astype(np.float32)
    if bad := np.count_nonzero(~np.isfinite(array).all(axis=(1, 2, 3))):
        raise ValueError(f"{bad} of {len(array)} images have values that are NaN or infinite")
    return np.clip(array, -1, 1)


feature_nets: Registry[AbstractFeatureNet] = Registry("feature net", "toylab.features")


def load(spec: str) -> AbstractFeatureNet:
    """The feature net ``name`` or ``name:PATH``, as in ``fdd-v1`` or ``inception:weights.npz``.

    Raises:
        ValueError: unknown name, a missing or needless path, or damaged weights; one line.
        OSError: no such file.
    """
    name, colon, path = spec.partition(":")
    takes_path = "path" in feature_nets.options(name)
    if takes_path != bool(path) or (colon and not path):
        raise ValueError(f"--features {spec}: write {name}{':PATH' if takes_path else ''}")
    return feature_nets.create(name, {"path": path} if path else {})
