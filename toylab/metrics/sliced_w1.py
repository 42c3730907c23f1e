"""The registered sliced W1."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from toylab.metrics.base import AbstractMetric, ModesLike, metrics
from toylab.metrics.sliced import sliced_wasserstein


@metrics.register("sliced_w1", citation="bonneel2015sliced")
@dataclass(frozen=True)
class SlicedW1(AbstractMetric):
    """Sliced Wasserstein-1 distance: W1 of one-dimensional projections, averaged over random directions.

    Args:
        num_projections: number of directions, at least 1.
    """

    num_projections: int = 500

    def __post_init__(self):
        if self.num_projections < 1:
            raise ValueError(f"num_projections must be at least 1, got {self.num_projections}")

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """SW_1 with the directions of ``seed``."""
        return sliced_wasserstein(samples, reference, p=1, num_projections=self.num_projections, seed=seed)
