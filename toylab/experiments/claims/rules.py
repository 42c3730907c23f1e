"""Verdicts as pure functions of a row's own JSON: they need no run, no net and no judgement."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toylab.experiments.claims.power import seeds_for_width, seeds_needed
from toylab.formatting import finite_or_none
from toylab.metrics.statistics import bootstrap_interval, mean_interval

HOLDS, PARTLY, FAILS, UNRESOLVED, UNMEASURED = (
    "holds",
    "holds in part",
    "does not hold",
    "not resolvable at this n",
    "not measured",
)
# Share of the baseline's score that must lie above the floor, where the claim names no larger effect.
LEAST_ROOM = 0.1
# The smallest effect where only the sign of a share is claimed.
LEAST_EFFECT = 0.01
# Share of the pairs that may be lost to divergence; with more, the rest is a biased selection.
MOST_LOST = 0.25

RULE = (
    "Each effect is a mean over seeds, paired by seed, with its 95% Student t interval [low, high]; c is the "
    "claimed size (where only a sign is claimed: 1% of a share, 0 of other numbers). At least c: low > 0 and high"
    " >= c holds; low > 0 and high < c holds in part; low <= 0 and high < c does not hold; low <= 0 and high >= c"
    " is not resolvable. Within a range: interval inside holds; disjoint does not hold; otherwise not resolvable."
    " Before that, not resolvable where there are fewer than two pairs, where more than a quarter of them "
    "diverged, or where the claimed reduction (10% at least) does not fit between the baseline's score and the "
    "floor. A claim of several effects: all hold, it holds; some hold at least in part, in part; none does and "
    "one fails, it does not hold; else not resolvable. Seeds needed: the smallest number at which the paired t "
    "test (5%) finds the claimed size with probability 80% at the measured spread; for a range, at which the "
    "interval is as narrow as the range."
)


def effect_verdict(effect: Mapping[str, Any]) -> str:
    """The verdict on one effect, from values, kind, claimed, range, unit, baseline, floor, reduces and lost."""
    values = list(effect["values"].values())
    lost = int(effect.get("lost", 0))
    if len(values) < 2 or lost > MOST_LOST * (len(values) + lost) or _is_near_floor(effect):
        return UNRESOLVED
    _, low, high, _ = mean_interval(values)
    if effect["kind"] == "within":
        first, last = effect["range"]
        if first <= low and high <= last:
            return HOLDS
        return FAILS if high < first or low > last else UNRESOLVED
    claimed = effect["claimed"] or (LEAST_EFFECT if effect["unit"] == "share" else 0.0)
    if low > 0:
        return HOLDS if high >= claimed else PARTLY
    return FAILS if high < claimed else UNRESOLVED


def claim_verdict(effects: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on a claim from those on its effects; without an effect it was not measured."""
    if not effects:
        return UNMEASURED
    found = [effect_verdict(effect) for effect in effects]
    if all(verdict == HOLDS for verdict in found):
        return HOLDS
    if HOLDS in found or PARTLY in found:
        return PARTLY
    return FAILS if FAILS in found else UNRESOLVED


def summary(effect: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers shown of an effect: mean, t and bootstrap interval, spread, seeds needed, verdict."""
    values = list(effect["values"].values())
    if not values:
        nothing = dict.fromkeys(("mean", "spread", "seeds_needed"))
        return {**nothing, "interval": [None, None], "bootstrap": [None, None], "verdict": UNRESOLVED}
    mean, low, high, _ = mean_interval(values)
    resampled = bootstrap_interval(
        values
    )  # shown beside the t interval; of few values it is too narrow for the rule
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    if effect["kind"] == "within":
        first, last = effect["range"]
        needed = seeds_for_width((last - first) / 2, spread)
    else:
        needed = seeds_needed(effect["claimed"] or 0.0, spread)
    return {
        "mean": mean,
        "interval": [finite_or_none(low), finite_or_none(high)],
        "bootstrap": [finite_or_none(resampled.low), finite_or_none(resampled.high)],
        "spread": finite_or_none(spread),
        "seeds_needed": needed,
        "verdict": effect_verdict(effect),
    }


def _is_near_floor(effect: Mapping[str, Any]) -> bool:
    baseline, floor = effect.get("baseline"), effect.get("floor")
    if baseline is None or floor is None:
        return False
    is_reduction = effect["kind"] == "at_least" and effect["unit"] == "share" and effect.get("reduces", True)
    claimed = (effect["claimed"] or 0.0) if is_reduction else 0.0
    return baseline - floor < max(claimed, LEAST_ROOM) * baseline
