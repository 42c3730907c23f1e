"""The registered exact W2."""

from dataclasses import dataclass
from typing import ClassVar

from toylab.metrics.base import metrics
from toylab.metrics.distances import AbstractExact


@metrics.register("w2", citation="flamary2021pot")
@dataclass(frozen=True)
class W2(AbstractExact):
    """Exact Wasserstein-2 distance between the two point sets, by network simplex (POT)."""

    order: ClassVar[int] = 2
