"""The energy distance: a distance between distributions without projections, modes or a solver."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from toylab.metrics.base import metrics

# Rows per block of distances are set so that a block takes 64 MB, whatever n is.
BLOCK_VALUES = 8_000_000


@metrics.register("energy_distance", citation="szekely2013energy", max_n=16_384)
def energy_distance(samples: Float[np.ndarray, "n dim"], reference: Float[np.ndarray, "m dim"]) -> float:
    r"""Energy distance, the root of 2 E|X - Y| - E|X - X'| - E|Y - Y'|.

    The means run over ALL pairs, i = j included (the V-statistic, as in SciPy), so that it is never negative. The root
    is biased upwards by order n^-1/2; the floor has the same bias. O(n^2) time, memory in blocks of 64 MB. Source:
    Szekely and Rizzo 2013.
    """
    squared = 2 * _mean_distance(samples, reference)
    squared -= _mean_distance(samples, samples) + _mean_distance(reference, reference)
    # For equal sets rounding may leave a small negative number.
    return float(np.sqrt(max(squared, 0.0)))


def _mean_distance(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    step = max(1, BLOCK_VALUES // len(y))
    total = sum(float(cdist(x[start : start + step], y).sum()) for start in range(0, len(x), step))
    return total / (len(x) * len(y))
