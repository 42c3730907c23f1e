"""What a score means: its standard error, and the floor that two fresh data samples would reach."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from toylab.metrics.base import AbstractMetric, ModesLike


class Floor(NamedTuple):
    """The metric between two fresh data samples of n: mean and its standard error over ``num_repeats``."""

    value: float
    stderr: float
    n: int
    num_repeats: int


class Score(NamedTuple):
    """A metric with what is needed to read it.

    Args:
        value: mean over keys; NaN where a sample is not finite.
        stderr: standard error of that mean over keys; NaN for a single key.
        n: number of samples per key.
        floor: the same metric between two fresh data samples of n points.
        num_keys: number of independent samples behind the mean.
        nfe: network evaluations per sample.
    """

    value: float
    stderr: float
    n: int
    floor: float
    num_keys: int = 1
    nfe: int = 1

    @classmethod
    def of(cls, values: Sequence[float], n: int, floor: float, nfe: int = 1) -> "Score":
        """The score of one value per key.

        Raises:
            ValueError: no value.
        """
        mean, stderr = mean_and_stderr(values)
        return cls(mean, stderr, n, floor, len(values), nfe)

    def to_json(self) -> dict[str, Any]:
        """The fields by name; NaN becomes None, since JSON has no NaN."""
        return {name: number if math.isfinite(number) else None for name, number in self._asdict().items()}


def floor(
    metric: AbstractMetric,
    draw: Callable[[int, int], Float[np.ndarray, "n dim"]],
    n: int,
    num_repeats: int = 8,
    modes: ModesLike | None = None,
    seed: int = 0,
) -> Floor:
    """The floor of ``metric`` at ``n``: its value between two fresh data samples, over ``num_repeats`` pairs.

    Args:
        metric: any metric.
        draw: ``draw(n, seed)`` gives (n, dim), independent for different seeds: ``dataset.sample``.
        n: points per sample.
        num_repeats: number of independent pairs; at least 2, for a standard error.
        modes: of the dataset, for metrics that need them.
        seed: fixes all draws and projections.

    Raises:
        ValueError: fewer than two repeats, and whatever the metric refuses.
    """
    if num_repeats < 2:
        raise ValueError(f"num_repeats must be at least 2, got {num_repeats}")
    # 31 bits, so that any sampler takes them as a seed; two draws and one set of projections a repeat.
    seeds = (np.random.SeedSequence(seed).generate_state(3 * num_repeats) >> 1).reshape(-1, 3).tolist()
    values = [metric(draw(n, a), draw(n, b), modes, c) for a, b, c in seeds]
    return Floor(*mean_and_stderr(values), n=n, num_repeats=num_repeats)


def mean_and_stderr(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and its standard error s / sqrt(k); NaN for a single value.

    Raises:
        ValueError: no value.
    """
    if len(values) == 0:
        raise ValueError("a mean needs at least one value")
    if len(values) == 1:
        return float(values[0]), math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
