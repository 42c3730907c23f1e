"""Scores of a run: every metric with its standard error, its n, and its floor (its value between two fresh samples of
the data).

`evaluate` scores points with `toylab.metrics`; `evaluate_images` scores images by the features of a fixed net.
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from toylab import features
from toylab.data import AbstractDataset, create_dataset
from toylab.data.images import Images, digits_images, fashion_images
from toylab.features import Gaussian, ImageScore, Yardstick
from toylab.features.scores import ACCURACY, KERNEL
from toylab.metrics import floor, metrics
from toylab.metrics.base import can_be_scored
from toylab.metrics.score import Floor, Score
from toylab.nets.sampling import balanced_labels
from toylab.training import Run
from toylab.types import DataShape

DEFAULT_METRICS = ("sliced_w1", "sliced_w2")
DEFAULT_N = 32_768
"""At this n the floor of sliced W1 is 0.01 to 0.02 on the built-in sets: small against the differences of interest."""


def applicable_metrics(dataset: AbstractDataset) -> list[str]:
    """Names of the metrics that are defined on ``dataset``: all, or those that need no modes."""
    has_modes = dataset.modes() is not None
    return [name for name in metrics.names() if has_modes or not metrics.create(name).needs_modes]


def evaluate(
    run: Run,
    names: Sequence[str] = DEFAULT_METRICS,
    *,
    n: int | None = None,
    num_keys: int = 4,
    nfe: int | None = None,
    seed: int = 0,
) -> dict[str, Score]:
    """Metrics of ``n`` samples of ``run`` against as many fresh data points, over ``num_keys`` independent pairs.

    Args:
        run: a trained run.
        names: metrics (`toylab list metrics`).
        n: samples per key; by default 32,768, or the largest n of the metric if that is less.
        num_keys: independent pairs of samples and data; the standard error is over these.
        nfe: network evaluations per sample; by default the method's own, one but for flow matching.
        seed: fixes noise, data and projections; the same seed gives the same noise to every run.

    Returns:
        name -> score with value, stderr, n, floor, num_keys and nfe; the value is NaN where a sample is not finite, so
        that no score is computed from the finite subset alone.

    Raises:
        ValueError: an unknown metric, one that the dataset does not admit, or a bad count.
    """
    if num_keys < 1:
        raise ValueError(f"num_keys must be at least 1, got {num_keys}")
    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    nfe = run.experiment.method.eval_nfe if nfe is None else nfe
    modes = run.dataset.modes()
    scores = {}
    for name in names:
        metric = metrics.create(name)
        count = default_n(name) if n is None else n
        values = []
        for key in range(num_keys):
            seed_noise, seed_data, seed_metric = key_seeds(seed, key)
            samples = run.sample(count, nfe=nfe, seed=seed_noise)
            reference = run.dataset.sample(count, seed=seed_data)
            scored = can_be_scored(samples)
            values.append(metric(samples, reference, modes, seed=seed_metric) if scored else math.nan)
        options = json.dumps(run.config.dataset_options, sort_keys=True)
        base = _floor(name, run.config.dataset, options, count, max(2, num_keys), seed)
        scores[name] = Score.of(values, count, base.value, nfe)
    return scores


def default_n(name: str) -> int:
    """Default number of samples per key of the metric ``name``."""
    return min(DEFAULT_N, metrics.create(name).max_n)


def key_seeds(seed: int, key: int) -> list[int]:
    """Seeds of noise, data and projections of one key: the same whatever the number of keys, and all different."""
    # Shifted to 31 bits: samplers take seeds up to 2^31 - 1.
    return (np.random.SeedSequence([seed, key]).generate_state(3) >> 1).tolist()


@lru_cache(maxsize=256)
def _floor(metric: str, dataset: str, options: str, n: int, num_repeats: int, seed: int) -> Floor:
    """The floor of a metric on a dataset: the same for every run on it."""
    data = create_dataset(dataset, json.loads(options))
    return floor(
        metrics.create(metric), data.sample, n, num_repeats=num_repeats, modes=data.modes(), seed=seed
    )


NUM_IMAGES = 10_000
"""Default number of images per key."""
REFERENCES: dict[str, Callable[[], Images]] = {
    "digits": digits_images,
    "fashion": lambda: fashion_images("all"),
}
"""Dataset -> all of its real images."""
FEATURE_NETS = {"digits": "fdd-v1", "fashion": "ffd-v1"}
"""Dataset -> the packaged net by whose features its images are scored."""


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
        reference: an npz with mean and covariance of the features of real images, used in place of the dataset's.

    Raises:
        ValueError: a run on something else, an unknown net, samples that are not finite, or a net for other images.
        FileNotFoundError: images or weights that are not installed; the line says how to get them.
    """
    if run.dataset.shape.image is None:
        raise ValueError(f"--features needs images, and {run.config.dataset} has none; use --metrics")
    yardstick = _yardstick(net, run.config.dataset, reference)
    return features.image_scores(yardstick, draw_images(run, n, num_keys, nfe, seed, guidance), seed)


def draw_images(
    run: Run,
    n: int,
    num_keys: int = 1,
    nfe: int | None = None,
    seed: int = 0,
    guidance: float | None = None,
) -> list[tuple[Float[np.ndarray, "n height width channels"], Int[np.ndarray, " n"] | None]]:
    """Images and classes (None without) per key, of all classes in turn; the noise depends on seed and key alone."""
    shape = run.dataset.shape
    assert shape.image is not None
    labels = np.asarray(balanced_labels(n, shape.num_classes)) if shape.num_classes else None
    nfe = run.experiment.method.eval_nfe if nfe is None else nfe
    seeds = [key_seeds(seed, key)[0] for key in range(num_keys)]
    return [
        (run.sample(n, nfe=nfe, seed=each, guidance=guidance).reshape(-1, *shape.image), labels)
        for each in seeds
    ]


def final_image_scores(
    run: Run, net: str, n: int | None = None, num_keys: int = 1, seed: int = 0
) -> dict[str, Score]:
    """`evaluate_images` in the form of scores.json; NaN where a sample is not finite.

    Args:
        run: a trained run.
        net: fdd-v1, ffd-v1 or inception:PATH.
        n: samples per key; 10,000 by default.
        num_keys: independent samples.
        seed: of the noise, the same for every run.

    Raises:
        ValueError: as `evaluate_images`.
        FileNotFoundError: likewise.
    """
    count, nfe = n or NUM_IMAGES, run.experiment.method.eval_nfe
    yardstick, drawn = _yardstick(net, run.config.dataset, None), draw_images(run, count, num_keys, seed=seed)
    if not all(np.all(np.isfinite(images)) for images, _ in drawn):
        floors = yardstick.floor(count, seed)
        return {name: Score.of([math.nan] * num_keys, count, it.value, nfe) for name, it in floors.items()}
    scores = features.image_scores(yardstick, drawn, seed)
    floors = {name: score.floor.value for name, score in scores.items() if score.floor is not None}
    return {
        name: Score(score.value, score.stderr, count, floors[name], num_keys, nfe)
        for name, score in scores.items()
        if name in floors
    }


def image_score_names(net: str, shape: DataShape) -> tuple[str, ...]:
    """Names of the scores that `final_image_scores` returns with ``net`` for images of that shape.

    Raises:
        ValueError: an unknown net, one that takes other images, or weights that are damaged.
    """
    loaded = features.load(net)
    assert shape.image is not None
    loaded.prepare(np.zeros((1, *shape.image), np.float32))  # refuses what it does not take
    told = bool(shape.num_classes) and loaded.accuracy is not None
    return (loaded.distance, KERNEL, *([ACCURACY] if told else []))


def _yardstick(net: str, dataset: str, reference: Path | None) -> Yardstick:
    if reference is None and dataset in REFERENCES and ":" not in net:
        return packaged_yardstick(net, dataset)
    loaded = features.load(net)
    return Yardstick(loaded, _reference(dataset, loaded.dim, reference))


@lru_cache(maxsize=2)
def packaged_yardstick(net: str, dataset: str) -> Yardstick:
    """Features of all real images of a dataset by a packaged net, computed once for all runs that are scored."""
    loaded = features.load(net)
    return Yardstick(loaded, _reference(dataset, loaded.dim, None))


def _reference(dataset: str, dim: int, path: Path | None) -> ArrayLike | Gaussian:
    if path is not None:
        return features.read_gaussian(path, dim)
    if dataset not in REFERENCES:
        choices = ", ".join(REFERENCES)
        raise ValueError(
            f"dataset {dataset!r} has no reference images (only {choices} do): give their statistics with --reference"
        )
    return REFERENCES[dataset]().pixels
