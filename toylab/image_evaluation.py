"""Scores of a run on images by the features of a fixed net."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from toylab import features
from toylab.data.images import Images, digits_images, fashion_images
from toylab.evaluation import key_seeds
from toylab.features import ImageScore, Yardstick
from toylab.sampling import balanced_labels
from toylab.training import Run

REFERENCES: dict[str, Callable[[], Images]] = {
    "digits": digits_images,
    "fashion": lambda: fashion_images("all"),
}
"""Dataset -> all of its real images."""
FEATURE_NETS = {"digits": "fdd-v1", "fashion": "ffd-v1"}
"""Dataset -> the packaged net whose features its images are compared by."""


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
    yardstick = _known(net, reference) if reference is not None else _yardstick(run.config.dataset, net)
    labels = np.asarray(balanced_labels(n, shape.num_classes)) if shape.num_classes else None
    nfe = run.experiment.method.eval_nfe if nfe is None else nfe
    draws = (
        run.sample(n, nfe=nfe, seed=key_seeds(seed, key)[0], guidance=guidance) for key in range(num_keys)
    )
    return features.image_scores(
        yardstick, [(points.reshape(-1, *shape.image), labels) for points in draws], seed
    )


def _yardstick(dataset: str, net: str) -> Yardstick:
    """All real images as a net sees them; kept for the packaged nets, since it is the same for every run."""
    return _kept(dataset, net) if net in FEATURE_NETS.values() else _made(dataset, net)


def _made(dataset: str, net: str) -> Yardstick:
    loaded = features.load(net)
    if dataset not in REFERENCES:
        choices = ", ".join(REFERENCES)
        raise ValueError(
            f"no real images of {dataset!r} are known, only of {choices}: give their --reference"
        )
    return Yardstick(loaded, REFERENCES[dataset]().pixels)


_kept = lru_cache(maxsize=2)(_made)


def _known(net: str, reference: Path) -> Yardstick:
    """Statistics of features in the place of images."""
    loaded = features.load(net)
    return Yardstick(loaded, features.read_gaussian(reference, loaded.dim))
