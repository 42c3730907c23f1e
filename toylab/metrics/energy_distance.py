"""The energy distance: a distance between distributions without projections, modes or a solver."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from toylab.metrics.base import AbstractMetric, ModesLike, metrics

# Rows per block of distances are set so that a block stays at 64 MB, whatever n is.
BLOCK_VALUES = 8_000_000


@metrics.register("energy_distance", citation="szekely2013energy")
@dataclass(frozen=True)
class EnergyDistance(AbstractMetric):
    r"""Energy distance, the root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    The means run over ALL pairs, i = j included (the V-statistic, as in SciPy): never negative, and biased
    upwards by order n^-1/2 on the root. Compare it with its floor, which has the same bias. O(n^2) time,
    memory in blocks of 64 MB. Source: Szekely and Rizzo 2013.
    """

    max_n: ClassVar[int] = 16_384

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """Energy distance; ``seed`` has no effect."""
        squared = 2 * _mean_distance(samples, reference)
        squared -= _mean_distance(samples, samples) + _mean_distance(reference, reference)
        # Equal sets give zero up to rounding, of either sign.
        return float(np.sqrt(max(squared, 0.0)))


def _mean_distance(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    step = max(1, BLOCK_VALUES // len(y))
    total = sum(float(cdist(x[start : start + step], y).sum()) for start in range(0, len(x), step))
    return total / (len(x) * len(y))
