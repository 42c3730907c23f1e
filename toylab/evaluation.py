"""Scores of a run: every metric with its standard error, its n, and the floor between two fresh data samples."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from toylab.data import AbstractDataset, create_dataset
from toylab.metrics import floor, metrics
from toylab.metrics.base import can_be_scored
from toylab.metrics.floor import Floor, Score
from toylab.training import Run

DEFAULT_METRICS = ("sliced_w1", "sliced_w2")
DEFAULT_N = 32_768
"""At this n the floor of sliced W1 is 0.01 to 0.02 on the built-in sets: small against what is to be seen."""


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
        n: samples per key; by default 32,768, or what the metric can afford.
        num_keys: independent pairs of samples and data; the standard error is over these.
        nfe: network evaluations per sample; by default the method's own, one but for flow matching.
        seed: fixes noise, data and projections; the same seed gives the same noise to every run.

    Returns:
        name -> score with value, stderr, n, floor, num_keys and nfe; the value is NaN where a sample is not finite:
        the metric of those that are would be that of survivors.

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
    """Samples per key of the metric ``name`` where none are asked for."""
    return min(DEFAULT_N, metrics.create(name).max_n)


def key_seeds(seed: int, key: int) -> list[int]:
    """Seeds of noise, data and projections of one key: the same whatever the number of keys, and never shared."""
    # 31 bits, so that any sampler takes them.
    return (np.random.SeedSequence([seed, key]).generate_state(3) >> 1).tolist()


@lru_cache(maxsize=256)
def _floor(metric: str, dataset: str, options: str, n: int, num_repeats: int, seed: int) -> Floor:
    """The floor of a metric on a dataset: the same for every run on it."""
    data = create_dataset(dataset, json.loads(options))
    return floor(
        metrics.create(metric), data.sample, n, num_repeats=num_repeats, modes=data.modes(), seed=seed
    )
