"""Claims: a statement with a source, the runs that test it, and the effects measured on them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from toylab.config import RunConfig
from toylab.experiments.claims.budgets import Budget
from toylab.experiments.claims.store import Store
from toylab.registry import Registry


@dataclass(frozen=True)
class Effect:
    """One number per seed, and the claimed value of their mean.

    Args:
        name: the comparison.
        values: seed -> value; finite.
        kind: ``at_least``: the mean is positive and reaches ``claimed``; ``within``: it lies in ``range``.
        claimed: the published size, or None where only the sign is claimed.
        range: of the kind ``within``.
        unit: ``share`` (shown in per cent) or ``number``.
        arms: label -> seed -> score, to be drawn.
        baseline: mean score of the baseline, if the effect is one of scores.
        floor: score of data against data at the same n.
        n: samples per score, or points per measurement.
        reduces: whether the effect makes scores smaller; the claimed size then has to fit above the floor.
        lost: pairs of which a run diverged.
    """

    name: str
    values: Mapping[int, float]
    kind: Literal["at_least", "within"] = "at_least"
    claimed: float | None = None
    range: tuple[float, float] | None = None
    unit: Literal["share", "number"] = "share"
    arms: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    baseline: float | None = None
    floor: float | None = None
    n: int = 0
    reduces: bool = True
    lost: int = 0

    def __post_init__(self):
        if not all(math.isfinite(value) for value in self.values.values()):
            raise ValueError(f"the effect {self.name!r} has a value that is not finite")
        if (self.kind == "within") != (self.range is not None):
            raise ValueError(f"the effect {self.name!r} needs a range if and only if its kind is 'within'")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: everything that a verdict needs."""
        return {
            "name": self.name,
            "kind": self.kind,
            "claimed": self.claimed,
            "range": None if self.range is None else list(self.range),
            "unit": self.unit,
            "values": {str(seed): float(value) for seed, value in self.values.items()},
            "arms": {
                label: {str(seed): float(score) for seed, score in scores.items()}
                for label, scores in self.arms.items()
            },
            "baseline": self.baseline,
            "floor": self.floor,
            "n": self.n,
            "reduces": self.reduces,
            "lost": self.lost,
        }


class AbstractClaim(ABC):
    """Base class of claims: class variables describe the claim, methods give its runs and effects."""

    statement: ClassVar[str]
    source: ClassVar[str]
    citation: ClassVar[str] = "lu2026variance"
    claimed: ClassVar[float | None] = None
    """The published number of the first effect; None where only a sign is claimed."""
    position: ClassVar[int] = 100
    """Position in the ledger."""
    budgets: ClassVar[tuple[str, ...]] = ("quick", "paper")
    """Those that measure it."""
    score_n: ClassVar[int | None] = None
    """Samples per score of its runs, where fewer than the budget's; equal for claims that share runs."""
    unmeasured: ClassVar[str] = ""
    """The reason why it is not measured; empty if it is measured."""
    note: ClassVar[str] = ""
    """A remark that the reader of the verdict needs."""

    @abstractmethod
    def protocol(self, budget: Budget) -> str:
        """The protocol at this budget, with its differences from the published one."""

    @abstractmethod
    def configs(self, budget: Budget) -> Sequence[RunConfig]:
        """The runs it needs."""

    @abstractmethod
    def measure(self, store: Store, budget: Budget) -> Sequence[Effect]:
        """Its effects, measured on finished runs; the first one is the headline."""


claims: Registry[AbstractClaim] = Registry("claim", "toylab.experiments.claims.rows")
"""Every claim by name."""
