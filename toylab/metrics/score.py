"""Scores: the mean of a metric with its standard error and floor, and the file scores.json of a run folder. No JAX."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from toylab.metrics.base import Metric, ModesLike
from toylab.storage.atomic import atomic_write_json
from toylab.storage.run_folder import SCORES
from toylab.storage.untrusted import one_line, parse_json_object, read_bytes

HEADLINE = "sliced_w1"
"""The metric by which runs are compared."""
# Limit of scores.json: a real one has less than a kilobyte per metric.
MAX_BYTES = 2**16


class Floor(NamedTuple):
    """The metric between two fresh data samples of n: mean and its standard error over ``num_repeats``."""

    value: float
    stderr: float
    n: int
    num_repeats: int


class Score(NamedTuple):
    """Value of a metric with its standard error, sample size and floor.

    Args:
        value: mean over keys; NaN if a sample is not finite.
        stderr: standard error of that mean over keys; NaN for a single key.
        n: number of samples per key.
        floor: the same metric between two fresh data samples of n points.
        num_keys: number of independent samples that the mean is over.
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
    metric: Metric,
    draw: Callable[[int, int], Float[np.ndarray, "n dim"]],
    n: int,
    num_repeats: int = 8,
    modes: ModesLike | None = None,
    seed: int = 0,
) -> Floor:
    """The floor of ``metric`` at ``n``: its value between two fresh data samples, over ``num_repeats`` pairs.

    Args:
        metric: the metric.
        draw: ``draw(n, seed)`` returns points (n, dim), independent for different seeds, such as ``dataset.sample``.
        n: points per sample.
        num_repeats: number of independent pairs; at least 2, for a standard error.
        modes: modes of the dataset, for metrics that need them.
        seed: fixes all draws and projections.

    Raises:
        ValueError: fewer than two repeats, or points that the metric rejects.
    """
    if num_repeats < 2:
        raise ValueError(f"num_repeats must be at least 2, got {num_repeats}")
    # Seeds of 31 bits, which every sampler accepts; two draws and one set of projections per repeat.
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


def write_scores(folder: Path, scores: Mapping[str, Score]) -> None:
    """Write metric -> score to scores.json of a run folder; null for samples that are not finite."""
    atomic_write_json(folder / SCORES, {name: score.to_json() for name, score in scores.items()})


def read_score(folder: Path, metric: str = HEADLINE) -> Score | None:
    """The score of ``metric`` in a run folder; None if it has not been measured.

    Its value is NaN if samples were not finite.

    Raises:
        ValueError: a damaged file; one line that names it.
    """
    path = folder / SCORES
    if not path.is_file():
        return None
    try:
        scores = parse_json_object(read_bytes(path, MAX_BYTES))
        return _parse(scores[metric]) if metric in scores else None
    # OverflowError: the JSON number 1e999 is read as infinity, which int() rejects.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: {metric}: {type(error).__name__}: {one_line(error)}") from None


def _parse(score: Any) -> Score:
    value, stderr = (math.nan if score[name] is None else float(score[name]) for name in ("value", "stderr"))
    n, floor = int(score["n"]), float(score["floor"])
    # Files of older versions lack these two keys.
    nfe, num_keys = int(score.get("nfe", 1)), int(score.get("num_keys", 0))
    # null stands for samples that were not finite; NaN is never written, so that a NaN means a damaged file.
    unchecked = score["value"] is not None and not math.isfinite(value)
    if unchecked or not (math.isfinite(floor) and n > 0 and nfe > 0):
        raise ValueError("must be finite with n > 0")
    return Score(value, stderr, n, floor, num_keys, nfe)
