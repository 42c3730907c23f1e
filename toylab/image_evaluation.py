"""Scores of a run on images by the features of a fixed net."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from toylab import features
from toylab.data.images import digits_images, fashion_images
from toylab.evaluation import key_seeds
from toylab.features import Gaussian, ImageScore, Yardstick
from toylab.sampling import balanced_labels
from toylab.training import Run

REFERENCES: dict[str, Callable[[], ArrayLike]] = {
    "digits": lambda: digits_images().pixels,
    "fashion": lambda: fashion_images("all").pixels,
}
"""Dataset -> all of its real images."""


def evaluate_images(
    run: Run,
    net: str,
    *,
    n: int,
    num_keys: int = 1,
    nfe: int | None = None,
    seed: int = 0,
    guidance: float | None = None,
    reference: Path | None = None,
) -> dict[str, ImageScore]:
    """Frechet and kernel distance of ``n`` samples to all real images, and their label accuracy.

    Args:
        run: a trained run on images.
        net: fdd-v1, ffd-v1 or inception:PATH.
        n: samples per key, of all classes in turn.
        num_keys: independent samples; the standard error is over these.
        nfe: network evaluations per sample; by default the method's own.
        seed: of the noise, the same for every run.
        guidance: scale of classifier-free guidance.
        reference: an npz with mean and covariance of the features of real images, in the place of those images.

    Raises:
        ValueError: a run on something else, an unknown net, samples that are not finite, or a net for other images.
        FileNotFoundError: images or weights that are not there; the line says how to get them.
    """
    shape = run.dataset.shape
    if shape.image is None:
        raise ValueError(
            f"{run.config.dataset} has no images, which is what --features are of; use --metrics"
        )
    loaded = features.load(net)
    yardstick = Yardstick(loaded, _reference(run.config.dataset, loaded.dim, reference))
    labels = np.asarray(balanced_labels(n, shape.num_classes)) if shape.num_classes else None
    nfe = run.experiment.method.eval_nfe if nfe is None else nfe
    draws = (
        run.sample(n, nfe=nfe, seed=key_seeds(seed, key)[0], guidance=guidance) for key in range(num_keys)
    )
    return features.image_scores(
        yardstick, [(points.reshape(-1, *shape.image), labels) for points in draws], seed
    )


def _reference(dataset: str, dim: int, path: Path | None) -> ArrayLike | Gaussian:
    if path is not None:
        return features.read_gaussian(path, dim)
    if dataset not in REFERENCES:
        choices = ", ".join(REFERENCES)
        raise ValueError(
            f"no real images of {dataset!r} are known, only of {choices}: give their --reference"
        )
    return REFERENCES[dataset]()
