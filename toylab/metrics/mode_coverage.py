"""How many modes of a mixture the samples reach."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.stats import chi2

from toylab.metrics.base import AbstractMetric, ModesLike, metrics


@metrics.register("mode_coverage")
@dataclass(frozen=True)
class ModeCoverage(AbstractMetric):
    r"""Share of modes that receive at least a tenth of their fair mass of samples: 1 is best.

    A sample belongs to mode k if c_k is its nearest centre and it lies within s_k sqrt(q_d) of it, where q_d
    is the 0.997 quantile of chi^2 with d = dim degrees of freedom (3 standard deviations in one dimension).
    Mode k is covered if at least max(1, share * w_k * n) samples belong to it. The reference is not used.

    Args:
        share: of the fair mass w_k n, in (0, 1].
    """

    share: float = 0.1

    higher_is_better: ClassVar[bool] = True
    needs_modes: ClassVar[bool] = True

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share}")

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """Share of covered modes; ``reference`` and ``seed`` have no effect."""
        assert modes is not None
        distance, nearest = (np.asarray(a) for a in KDTree(modes.centres).query(samples))
        radius = np.asarray(modes.stds) * np.sqrt(chi2.ppf(0.997, samples.shape[1]))
        counts = np.bincount(nearest[distance <= radius[nearest]], minlength=len(radius))
        wanted = np.maximum(1, self.share * np.asarray(modes.weights) * len(samples))
        # 20 samples of a wanted 20 are enough, whichever way the product was rounded.
        return float(np.mean(counts >= wanted * (1 - 1e-9)))
