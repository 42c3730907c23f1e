"""One spiral, unrolled from its second half turn on."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.curve import Curve, CurvePoints, Parameters, noisy_curve
from toylab.data.options import Number, number


def _point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    return xp.stack([s * xp.cos(s), s * xp.sin(s)], axis=-1)[None] / 8


def _quantile(uniform: Parameters) -> Parameters:
    return 1.5 * np.pi * (1 + 2 * uniform)


@datasets.register("swiss_roll", citation="lu2026variance")
def swiss_roll(noise: Number = 0.08) -> Curve:
    """A spiral of one and a half turns with ``noise`` around it.

    x0 = (s cos s, s sin s) / 8 + noise N(0, I) with s uniform on (1.5 pi, 4.5 pi).
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_point, _quantile, np.ones_like, (1.5 * np.pi, 4.5 * np.pi), noise)
