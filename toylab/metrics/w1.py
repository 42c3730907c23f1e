"""The registered exact W1."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from toylab.metrics.base import AbstractMetric, ModesLike, metrics
from toylab.metrics.exact import MAX_POINTS, wasserstein


@metrics.register("w1", citation="flamary2021pot")
@dataclass(frozen=True)
class W1(AbstractMetric):
    """Exact Wasserstein-1 distance between the two point sets, by network simplex (POT)."""

    max_n: ClassVar[int] = MAX_POINTS

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """W_1; ``seed`` has no effect."""
        return wasserstein(samples, reference, p=1)
