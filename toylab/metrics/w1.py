"""The registered exact W1."""

from dataclasses import dataclass
from typing import ClassVar

from toylab.metrics.base import metrics
from toylab.metrics.distances import AbstractExact


@metrics.register("w1", citation="flamary2021pot")
@dataclass(frozen=True)
class W1(AbstractExact):
    """Exact Wasserstein-1 distance between the two point sets, by network simplex (POT)."""

    order: ClassVar[int] = 1
