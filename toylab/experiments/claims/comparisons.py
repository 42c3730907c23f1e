"""Effects out of runs: one arm against another, paired by seed."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from toylab.config import RunConfig
from toylab.experiments.claims.base import Effect
from toylab.experiments.claims.store import Scored, Store

Read = Callable[[RunConfig], Scored]


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
    """Share of the baseline's sliced W1 that is gone, 1 - treated / baseline per seed, or added if said to rise."""
    read = read or store.score
    pairs = {seed: (read(treated.replace(seed=seed)), read(baseline.replace(seed=seed))) for seed in seeds}
    whole = {seed: pair for seed, pair in pairs.items() if all(math.isfinite(score.value) for score in pair)}
    sign = 1 if rises else -1
    base = _mean([pair[1] for pair in whole.values()])
    arms = {
        labels[1]: {seed: pair[1].value for seed, pair in pairs.items()},
        labels[0]: {seed: pair[0].value for seed, pair in pairs.items()},
    }
    return Effect(
        name=name,
        values={seed: sign * (a.value / b.value - 1) for seed, (a, b) in whole.items()},
        claimed=claimed,
        arms=_finite(arms),
        baseline=None if math.isnan(base.value) else base.value,
        floor=None if math.isnan(base.floor) else base.floor,
        n=base.n,
        reduces=not rises,
        lost=len(pairs) - len(whole),
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
    # A score at its floor is flat in everything: the floor rule is to see the baseline here as well.
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
    """Share of the gradient variance (second half of training) that is gone, or added if it is said to rise."""
    arms = {
        label: {seed: store.late_variance(config.replace(seed=seed)) for seed in seeds}
        for label, config in (("beta=1", treated), ("beta=0", baseline))
    }
    pairs = {seed: (arms["beta=1"][seed], arms["beta=0"][seed]) for seed in seeds}
    whole = {seed: pair for seed, pair in pairs.items() if all(map(math.isfinite, pair)) and pair[1] > 0}
    sign = 1 if rises else -1
    return Effect(
        name=name,
        values={seed: sign * (a / b - 1) for seed, (a, b) in whole.items()},
        claimed=claimed,
        arms=_finite(arms),
        n=len(store.history(baseline.replace(seed=seeds[0]))) // 2,
        lost=len(pairs) - len(whole),
    )


def best_beta(
    store: Store, config: RunConfig, betas: Sequence[float], seeds: Sequence[int]
) -> tuple[dict[int, float], dict[str, dict[int, float]], Scored, int]:
    """Per seed the beta of the lowest score; the scores as arms; mean score at the first beta; seeds lost."""
    arms: dict[str, dict[int, float]] = {f"beta={beta:g}": {} for beta in betas}
    best, scored, lost = {}, [], 0
    for seed in seeds:
        found = [store.score(config.replace(beta=beta, seed=seed)) for beta in betas]
        for beta, score in zip(betas, found, strict=True):
            arms[f"beta={beta:g}"][seed] = score.value
        values = np.array([score.value for score in found])
        if np.isnan(values).any():
            lost += 1
            continue
        best[seed] = float(betas[int(values.argmin())])
        scored.append(found[0])
    return best, _finite(arms), _mean(scored), lost


def _mean(scores: Sequence[Scored]) -> Scored:
    if not scores:
        return Scored(math.nan, math.nan, 0)
    value = float(np.mean([score.value for score in scores]))
    return Scored(value, float(np.mean([score.floor for score in scores])), scores[0].n)


def _finite(arms: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    return {
        label: {seed: value for seed, value in scores.items() if math.isfinite(value)}
        for label, scores in arms.items()
    }
