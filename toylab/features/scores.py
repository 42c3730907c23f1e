"""Scores of images: feature distances and label accuracy, each with n, the feature net and the score of real images."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.features.base import AbstractFeatureNet, Features
from toylab.features.distances import Gaussian, fit_gaussian, frechet_distance, kernel_distance
from toylab.metrics.score import Floor, mean_and_stderr

# Random splits of the real images that a floor averages over.
NUM_SPLITS = 8
KERNEL, ACCURACY = "kernel_distance", "label_accuracy"


class ImageScore(NamedTuple):
    """A score of generated images, with its sample size, standard error and floor.

    Args:
        features: id of the feature net.
        value: mean over keys.
        stderr: standard error of that mean over keys; NaN for a single key.
        n: images per key.
        floor: the same score of real images, whose n may be smaller (see `Yardstick.floor`); None without real images.
        num_keys: number of independent samples that the mean is over.
    """

    features: str
    value: float
    stderr: float
    n: int
    floor: Floor | None
    num_keys: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name; NaN becomes None, since JSON has no NaN."""
        floor = None if self.floor is None else self.floor._asdict()
        return {key: _json(value) for key, value in {**self._asdict(), "floor": floor}.items()}


class Yardstick:
    """Features of real images, the reference of all scores of generated images.

    Args:
        net: the feature net.
        reference: real images (n, height, width, channels), the whole set; or the mean and covariance of their
            features, which give neither a kernel distance nor floors.

    Raises:
        ValueError: images that the net does not accept, fewer than four of them, or statistics of another dimension.
    """

    def __init__(self, net: AbstractFeatureNet, reference: ArrayLike | Gaussian):
        self.net = net
        self._known_floors: dict[tuple[int, int], dict[str, Floor]] = {}
        if isinstance(reference, Gaussian):
            if len(reference.mean) != net.dim:
                raise ValueError(f"{net.name} has {net.dim} features, the reference {len(reference.mean)}")
            self._features, self._gaussian = None, reference
            return
        self._features = net(reference).values
        if len(self._features) < 4:
            raise ValueError(f"a reference needs at least 4 images, got {len(self._features)}")
        self._gaussian = fit_gaussian(self._features)

    def measure(self, pixels: ArrayLike, labels: ArrayLike | None = None) -> dict[str, float]:
        """Name -> number: the Frechet distance (FDD, FFD or FID), kernel_distance, and label_accuracy.

        Args:
            pixels: generated images (n, height, width, channels) in [-1, 1], n at least 2.
            labels: the class that each image was generated for; without labels, or without classes of the net, there
                is no accuracy.

        Raises:
            ValueError: images that are not finite or that the net does not accept, or labels that are not n classes.
        """
        found = self.net(pixels)
        numbers = {self.net.distance: frechet_distance(fit_gaussian(found.values), self._gaussian)}
        if self._features is not None:
            numbers[KERNEL] = kernel_distance(found.values, self._features)
        if labels is not None and found.logits is not None:
            numbers[ACCURACY] = _accuracy(found, np.asarray(labels))
        return numbers

    def floor(self, n: int, seed: int = 0) -> dict[str, Floor]:
        """Name -> the same score of real images in place of generated ones.

        Distances: mean over eight random splits of the reference into k = min(n, half of it) images and the others. If
        the reference has fewer than 2 n images, the floor is computed at this smaller k and is higher than at n.
        Accuracy: that of the net on held-out images.
        """
        if (n, seed) not in self._known_floors:
            self._known_floors[n, seed] = self._floor(n, seed)
        return dict(self._known_floors[n, seed])

    def _floor(self, n: int, seed: int) -> dict[str, Floor]:
        floors = {} if self._features is None else _floors(self.net.distance, self._features, n, seed)
        if self.net.accuracy is not None:
            share, tested = self.net.accuracy, self.net.num_test
            floors[ACCURACY] = Floor(share, math.sqrt(share * (1 - share) / tested), tested, 1)
        return floors


def _floors(distance: str, features: Float[np.ndarray, "m dim"], n: int, seed: int) -> dict[str, Floor]:
    count = min(n, len(features) // 2)
    random = np.random.default_rng(seed)
    distances, kernels = [], []
    for _ in range(NUM_SPLITS):
        order = random.permutation(len(features))
        some, others = features[order[:count]], features[order[count:]]
        distances.append(frechet_distance(fit_gaussian(some), fit_gaussian(others)))
        kernels.append(kernel_distance(some, others))
    return {
        name: Floor(*mean_and_stderr(values), n=count, num_repeats=NUM_SPLITS)
        for name, values in ((distance, distances), (KERNEL, kernels))
    }


def image_scores(
    yardstick: Yardstick, samples: Sequence[tuple[ArrayLike, ArrayLike | None]], seed: int = 0
) -> dict[str, ImageScore]:
    """Scores over independent samples: name -> mean, standard error, n and floor.

    Args:
        yardstick: feature net and real images.
        samples: pixels and labels (or None) per key, all with the same number of images.
        seed: seed of the random splits of the floors.

    Raises:
        ValueError: no samples, different numbers of images, or images that `Yardstick.measure` rejects.
    """
    counts = {len(np.asarray(pixels)) for pixels, _ in samples}
    if len(counts) != 1:
        raise ValueError(
            f"samples must be at least one and of one size, got sizes {sorted(counts) or 'none'}"
        )
    (n,) = counts
    measured = [yardstick.measure(pixels, labels) for pixels, labels in samples]
    floors = yardstick.floor(n, seed)
    return {
        name: ImageScore(
            yardstick.net.name,
            *mean_and_stderr([numbers[name] for numbers in measured]),
            n=n,
            floor=floors.get(name),
            num_keys=len(samples),
        )
        for name in measured[0]
    }


def score_line(name: str, score: ImageScore) -> str:
    """The score as one line: ``FDD[fdd-v1, n=1797] = 3.21, real images 0.42 +- 0.03 (n=898)``."""
    spread = "" if math.isnan(score.stderr) else f" +- {score.stderr:.2g}"
    floor = score.floor
    real = f"{floor.value:.4g} +- {floor.stderr:.2g} (n={floor.n})" if floor else "not measured"
    return f"{name}[{score.features}, n={score.n}] = {score.value:.4g}{spread}, real images {real}"


def _accuracy(found: Features, labels: np.ndarray) -> float:
    assert found.logits is not None
    classes = found.logits.shape[1]
    if labels.shape != (len(found.logits),) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be {len(found.logits)} whole numbers, got {labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must lie in [0, {classes - 1}], got {labels.min()} to {labels.max()}")
    return float(np.mean(np.argmax(found.logits, axis=1) == labels))


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
