"""The registered sliced W2."""

from dataclasses import dataclass
from typing import ClassVar

from toylab.metrics.base import metrics
from toylab.metrics.distances import AbstractSliced


@metrics.register("sliced_w2", citation="bonneel2015sliced")
@dataclass(frozen=True)
class SlicedW2(AbstractSliced):
    """Sliced Wasserstein-2 distance: W2 of one-dimensional projections, averaged over random directions."""

    order: ClassVar[int] = 2
