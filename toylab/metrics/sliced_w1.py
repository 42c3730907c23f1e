"""The registered sliced W1."""

from dataclasses import dataclass
from typing import ClassVar

from toylab.metrics.base import metrics
from toylab.metrics.distances import AbstractSliced


@metrics.register("sliced_w1", citation="bonneel2015sliced")
@dataclass(frozen=True)
class SlicedW1(AbstractSliced):
    """Sliced Wasserstein-1 distance: W1 of one-dimensional projections, averaged over random directions."""

    order: ClassVar[int] = 1
