"""Finished runs -> one row per dataset and beta: mean over seeds with its interval, floor, difference from beta = 0."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from toylab.experiments.sweep import Merged
from toylab.metrics.statistics import NO_INTERVAL, Interval, mean_interval, paired_difference

BETTER, WORSE, OPEN = "better", "worse", "not told apart"
"""What the interval of a paired difference from the baseline says: below zero, above it, neither."""


class Result(NamedTuple):
    """One run.

    Args:
        dataset: its data.
        beta: its coefficient.
        seed: of training; runs of one seed share initialisation, data, noise and times.
        value: its score, lower is better; NaN where it diverged or its samples were not finite.
        floor: what real data score at this n, or at half of the real images where n is more.
        n: samples behind the score.
    """

    dataset: str
    beta: float
    seed: int
    value: float
    floor: float
    n: int


def results_of(merged: Merged, metric: str) -> list[Result]:
    """The runs of a sweep by one of their scores."""
    found = []
    for row in merged.rows:
        settings, score = row["settings"], row["scores"].get(metric, {})
        value, floor = score.get("value"), score.get("floor")
        found.append(
            Result(
                settings["dataset"],
                settings["beta"],
                settings["seed"],
                math.nan if value is None else value,
                math.nan if floor is None else floor,
                score.get("n", 0),
            )
        )
    return found


def study_table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row per dataset and beta, in order of appearance; intervals are 95%, Student's t over seeds.

    Returns:
        rows with dataset, beta, seeds, lost (runs without a finite score, which are in no mean), n, value, low, high,
        floor; and against the beta of the dataset that is smallest in size: baseline, difference, difference_low,
        difference_high, paired by seed, with a reading: better, worse, or not told apart (as it is for one seed).
    """
    rows = []
    for dataset in dict.fromkeys(result.dataset for result in results):
        of_dataset = [result for result in results if result.dataset == dataset]
        betas = list(dict.fromkeys(result.beta for result in of_dataset))
        baseline = min(betas, key=lambda beta: (abs(beta), beta))
        scores = {beta: _by_seed([each for each in of_dataset if each.beta == beta]) for beta in betas}
        for beta in betas:
            same = [result for result in of_dataset if result.beta == beta]
            finite = [result for result in same if math.isfinite(result.value)]
            mean = mean_interval(list(scores[beta].values())) if scores[beta] else NO_INTERVAL
            change = paired_difference(scores[beta], scores[baseline]) if beta != baseline else None
            rows.append(
                {
                    "dataset": dataset,
                    "beta": beta,
                    "seeds": mean.n,
                    "lost": len(same) - len(finite),
                    "n": max((result.n for result in finite), default=0),
                    "value": mean.mean,
                    "low": mean.low,
                    "high": mean.high,
                    "floor": max((result.floor for result in finite), default=math.nan),
                    "baseline": baseline,
                    **_difference(change),
                }
            )
    return rows


def reading(change: Interval) -> str:
    """What a paired difference says; a single seed says nothing."""
    return BETTER if change.high < 0 else WORSE if change.low > 0 else OPEN


def _difference(change: Interval | None) -> dict[str, Any]:
    mean, low, high, _ = change or NO_INTERVAL
    found = {"difference": mean, "difference_low": low, "difference_high": high}
    return {**found, "reading": "" if change is None else reading(change)}


def _by_seed(results: Sequence[Result]) -> dict[int, float]:
    return {result.seed: result.value for result in results if math.isfinite(result.value)}
