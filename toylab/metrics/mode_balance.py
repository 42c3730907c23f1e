"""How evenly, by the true weights, the samples share out over the modes of a mixture."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from toylab.metrics.base import AbstractMetric, ModesLike, metrics


@metrics.register("mode_balance")
@dataclass(frozen=True)
class ModeBalance(AbstractMetric):
    r"""Total variation between the shares of samples by nearest centre and the true weights: 0 is best.

        1/2 sum_k | #{i : c_k is nearest to x_i} / n - w_k |

    Every sample counts, however far from its centre (``mode_coverage`` looks at that). Where modes overlap,
    the cells of the centres do not hold exactly w_k of the data: read it against its floor. The reference is
    not used.
    """

    needs_modes: ClassVar[bool] = True

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """Total variation of the shares; ``reference`` and ``seed`` have no effect."""
        assert modes is not None
        weights = np.asarray(modes.weights)
        _, nearest = KDTree(modes.centres).query(samples)
        shares = np.bincount(nearest, minlength=len(weights)) / len(samples)
        return float(0.5 * np.abs(shares - weights).sum())
