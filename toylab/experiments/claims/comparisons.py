"""Effects of runs: one arm against another, paired by seed."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from toylab.config import RunConfig
from toylab.experiments.claims.base import Effect
from toylab.experiments.claims.store import Store
from toylab.experiments.results import NO_SCORE, Arm, Result, finite_mean
from toylab.formatting import finite_or_none
from toylab.metrics.score import Score

Read = Callable[[RunConfig], Score]


def seeded(config: RunConfig, seeds: Sequence[int]) -> list[RunConfig]:
    """The config with each seed: the same seed gives the same data, noise, times and initial net to both arms."""
    return [config.replace(seed=seed) for seed in seeds]


def gain(
    store: Store,
    treated: RunConfig,
    baseline: RunConfig,
    seeds: Sequence[int],
    *,
    name: str,
    labels: tuple[str, str] = ("beta=1", "beta=0"),
    claimed: float | None = None,
    read: Read | None = None,
    rises: bool = False,
) -> Effect:
    """Relative reduction of sliced W1, 1 - treated / baseline per seed; the relative increase where ``rises``."""
    treated_arm, baseline_arm = (
        arm_of(label, config, seeds, read or store.score)
        for label, config in zip(labels, (treated, baseline), strict=True)
    )
    values = shares(treated_arm.by_seed(), baseline_arm.by_seed(), rises)
    base = _mean([result.score for result in baseline_arm.counted if result.seed in values])
    return Effect(
        name=name,
        values=values,
        claimed=claimed,
        arms={arm.key: arm.by_seed() for arm in (baseline_arm, treated_arm)},
        baseline=finite_or_none(base.value),
        floor=finite_or_none(base.floor),
        n=base.n,
        reduces=not rises,
        lost=len(seeds) - len(values),
    )


def flat(
    store: Store,
    treated: RunConfig,
    baseline: RunConfig,
    seeds: Sequence[int],
    *,
    name: str,
    margin: float,
    labels: tuple[str, str] = ("beta=1", "beta=0"),
) -> Effect:
    """The gain, claimed to be smaller than ``margin`` in size."""
    found = gain(store, treated, baseline, seeds, name=name, labels=labels)
    # Near its floor a score changes with nothing: the floor rule needs the baseline here as well.
    return Effect(**{**vars(found), "kind": "within", "range": (-margin, margin)})


def variance_cut(
    store: Store,
    treated: RunConfig,
    baseline: RunConfig,
    seeds: Sequence[int],
    *,
    name: str,
    claimed: float | None = None,
    rises: bool = False,
) -> Effect:
    """Relative reduction of the gradient variance (second half of training); the increase where ``rises``."""
    arms = {
        label: {seed: store.late_variance(config.replace(seed=seed)) for seed in seeds}
        for label, config in (("beta=1", treated), ("beta=0", baseline))
    }
    values = shares(arms["beta=1"], arms["beta=0"], rises)
    return Effect(
        name=name,
        values=values,
        claimed=claimed,
        arms={label: _finite(found) for label, found in arms.items()},
        n=len(store.history(baseline.replace(seed=seeds[0]))) // 2,
        lost=len(seeds) - len(values),
    )


def best_beta(
    store: Store, config: RunConfig, betas: Sequence[float], seeds: Sequence[int]
) -> tuple[dict[int, float], dict[str, dict[int, float]], Score, int]:
    """Per seed the beta of the lowest score; the scores as arms; mean score at the first beta; seeds lost."""
    arms = [arm_of(f"beta={beta:g}", config.replace(beta=beta), seeds, store.score) for beta in betas]
    scores = [arm.by_seed() for arm in arms]
    whole = [seed for seed in seeds if all(seed in found for found in scores)]
    best = {seed: float(betas[int(np.argmin([found[seed] for found in scores]))]) for seed in whole}
    base = _mean([result.score for result in arms[0].counted if result.seed in best])
    found = {arm.key: values for arm, values in zip(arms, scores, strict=True)}
    return best, found, base, len(seeds) - len(whole)


def arm_of(label: str, config: RunConfig, seeds: Sequence[int], read: Read) -> Arm:
    """The scores of ``config`` with each seed, by ``read``; those that are not finite are in no mean."""
    return Arm(label, tuple(Result(each, "done", read(each)) for each in seeded(config, seeds)))


def shares(
    treated: Mapping[int, float], baseline: Mapping[int, float], rises: bool = False
) -> dict[int, float]:
    """Seed -> relative reduction from the baseline, or the increase; of finite values with a positive baseline."""
    pairs = {seed: (value, baseline[seed]) for seed, value in treated.items() if seed in baseline}
    sign = 1 if rises else -1
    return {
        seed: sign * (value / base - 1)
        for seed, (value, base) in pairs.items()
        if math.isfinite(value) and math.isfinite(base) and base > 0
    }


def _mean(scores: Sequence[Score]) -> Score:
    """Mean value and floor of the scores of an arm, with their n."""
    if not scores:
        return NO_SCORE
    value, floor = (finite_mean(column) for column in zip(*((s.value, s.floor) for s in scores), strict=True))
    return Score(value, math.nan, scores[0].n, floor, scores[0].num_keys, scores[0].nfe)


def _finite(values: Mapping[int, float]) -> dict[int, float]:
    return {seed: value for seed, value in values.items() if math.isfinite(value)}
