"""Statistical power: the number of seeds that a paired comparison needs."""

import math

import numpy as np
from scipy import special, stats

from toylab.metrics.statistics import t_quantile

MAX_SEEDS = 10_000


def power(effect: float, spread: float, n: int, level: float = 0.95) -> float:
    r"""Probability that n pairs find an effect: that the two-sided paired t test rejects "no effect".

        P(|T| > c) = E_q[ Phi(shift - c s_q) + Phi(-shift - c s_q) ],   shift = sqrt(n) effect / spread,

    c the t quantile, s_q^2 = chi2_{n-1} quantile of q / (n - 1), q uniform: T is noncentral t with n - 1 degrees of
    freedom.

    Args:
        effect: true mean of the differences.
        spread: their standard deviation, positive.
        n: number of pairs, at least 2.
        level: of confidence, in (0, 1).

    Raises:
        ValueError: a spread, number or level out of range.

    >>> round(power(0.0, 1.0, 10), 3)
    0.05
    """
    if not (spread > 0 and n >= 2 and 0 < level < 1):
        raise ValueError(f"power needs spread > 0, n >= 2, level in (0, 1), got {spread}, {n}, {level}")
    shift, critical = math.sqrt(n) * effect / spread, t_quantile(n - 1, level)
    # Not scipy's nct, which answers NaN in the tail opposite to the shift.
    bound = critical * np.sqrt(stats.chi2.ppf(_NODES, n - 1) / (n - 1))
    return float(_WEIGHTS @ (special.ndtr(shift - bound) + special.ndtr(-shift - bound)))


# Quadrature over the quantiles of the measured standard deviation; 200 nodes give the power to 1e-6 and better.
_LEGENDRE = np.polynomial.legendre.leggauss(200)
_NODES, _WEIGHTS = (_LEGENDRE[0] + 1) / 2, _LEGENDRE[1] / 2


def seeds_needed(effect: float, spread: float, target: float = 0.8, level: float = 0.95) -> int | None:
    """The smallest number of pairs with `power` at least ``target``; None above 10,000 or without an effect.

    >>> seeds_needed(1.0, 1.0)
    10
    """
    if effect == 0 or not math.isfinite(effect) or not math.isfinite(spread):
        return None
    if spread <= 0:
        return 2
    low, high = 2, 2
    while power(effect, spread, high, level) < target:
        if high >= MAX_SEEDS:
            return None
        low, high = high, min(2 * high, MAX_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, spread, middle, level) < target:
            low = middle
        else:
            high = middle
    return 2 if power(effect, spread, 2, level) >= target else high


def seeds_for_width(half_width: float, spread: float, level: float = 0.95) -> int | None:
    """The smallest number of values whose t interval has at most this half width; None above 10,000."""
    if not half_width > 0 or not math.isfinite(spread):
        return None
    n = 2
    while t_quantile(n - 1, level) * spread / math.sqrt(n) > half_width:
        n += max(1, n // 50)
        if n > MAX_SEEDS:
            return None
    return n
