"""Scores of a run: every metric with its standard error, its n, and the floor between two fresh data samples."""

import json
from collections.abc import Sequence
from functools import lru_cache

from toylab.data import AbstractDataset, datasets
from toylab.metrics import floor, metrics
from toylab.metrics.floor import Floor, Score
from toylab.training import Run

DEFAULT_METRICS = ("sliced_w1", "sliced_w2")
DEFAULT_N = 32_768
"""At this n the floor of sliced W1 is 0.01 to 0.02 on the built-in sets: small against what is to be seen."""

SEED_FRESH_DATA = 1_000_000
"""References are drawn with seeds from here on, away from those of training and floors."""


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
    nfe: int = 1,
    seed: int = 0,
) -> dict[str, Score]:
    """Metrics of ``n`` samples of ``run`` against as many fresh data points, over ``num_keys`` independent pairs.

    Args:
        run: a trained run.
        names: metrics (`toylab list metrics`).
        n: samples per key; by default 32,768, or what the metric can afford.
        num_keys: independent pairs of samples and data; the standard error is over these.
        nfe: network evaluations per sample.
        seed: fixes noise, data and projections; the same seed gives the same noise to every run.

    Returns:
        name -> score with value, stderr, n and floor.

    Raises:
        ValueError: an unknown metric, one that the dataset does not admit, or a bad count.
    """
    if num_keys < 1:
        raise ValueError(f"num_keys must be at least 1, got {num_keys}")
    modes = run.dataset.modes()
    scores = {}
    for name in names:
        metric = metrics.create(name)
        count = n or min(DEFAULT_N, metric.max_n)
        values = []
        for key in range(num_keys):
            draw = seed * num_keys + key
            reference = run.dataset.sample(count, seed=SEED_FRESH_DATA + draw)
            values.append(metric(run.sample(count, nfe=nfe, seed=draw), reference, modes, seed=draw))
        options = json.dumps(run.config.dataset_options, sort_keys=True)
        base = _floor(name, run.config.dataset, options, count, max(2, num_keys), seed)
        scores[name] = Score.of(values, count, base.value)
    return scores


@lru_cache(maxsize=256)
def _floor(metric: str, dataset: str, options: str, n: int, num_repeats: int, seed: int) -> Floor:
    """The floor of a metric on a dataset: the same for every run on it."""
    data = datasets.create(dataset, json.loads(options))
    return floor(
        metrics.create(metric), data.sample, n, num_repeats=num_repeats, modes=data.modes(), seed=seed
    )
