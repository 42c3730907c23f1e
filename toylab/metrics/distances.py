"""What the registered Wasserstein distances share: one base for the sliced ones, one for the exact ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from toylab.metrics.base import AbstractMetric, ModesLike
from toylab.metrics.exact import MAX_POINTS, wasserstein
from toylab.metrics.sliced import sliced_wasserstein


@dataclass(frozen=True)
class AbstractSliced(AbstractMetric):
    """The sliced distance of the class's ``order``.

    Args:
        num_projections: number of directions, at least 1.
    """

    order: ClassVar[int]

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
        """SW_p with the directions of ``seed``."""
        return sliced_wasserstein(samples, reference, self.order, self.num_projections, seed)


@dataclass(frozen=True)
class AbstractExact(AbstractMetric):
    """The exact distance of the class's ``order``."""

    order: ClassVar[int]
    max_n: ClassVar[int] = MAX_POINTS

    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """W_p; ``seed`` has no effect."""
        return wasserstein(samples, reference, self.order)
