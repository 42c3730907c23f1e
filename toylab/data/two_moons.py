"""Two interleaved half circles."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.curve import Curve, CurvePoints, Parameters, noisy_curve
from toylab.data.options import Number, number


def _point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    upper = xp.stack([xp.cos(s), xp.sin(s)], axis=-1)
    lower = xp.stack([1 - xp.cos(s), 0.5 - xp.sin(s)], axis=-1)
    return 2 * xp.stack([upper, lower])


def _quantile(uniform: Parameters) -> Parameters:
    return np.pi * uniform


@datasets.register("two_moons", citation="lu2026variance")
def two_moons(noise: Number = 0.08) -> Curve:
    """Two half circles with ``noise`` around them, all times two.

    x0 = 2 ((cos s, sin s) or (1 - cos s, 0.5 - sin s)) + 2 noise N(0, I) with s uniform on (0, pi).
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_point, _quantile, np.ones_like, (0.0, np.pi), 2 * noise)
