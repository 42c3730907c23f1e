"""Two spirals, each the other's mirror image through the origin."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.curve import Curve, CurvePoints, Parameters, noisy_curve
from toylab.data.options import Number, number


def _point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    arm = xp.stack([s * xp.cos(s), s * xp.sin(s)], axis=-1) / 5
    return xp.stack([arm, -arm])


def _quantile(uniform: Parameters) -> Parameters:
    return 3 * np.pi * uniform.__array_namespace__().sqrt(uniform)


def _density(s: Parameters) -> Parameters:
    return s


@datasets.register("two_spirals", citation="lu2026variance")
def two_spirals(noise: Number = 0.08) -> Curve:
    """Two spirals of one and a half turns with ``noise`` around them.

    x0 = +-(s cos s, s sin s) / 5 + noise N(0, I) with s = 3 pi sqrt(U), which spreads the points almost
    evenly.
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_point, _quantile, _density, (0.0, 3 * np.pi), noise)
