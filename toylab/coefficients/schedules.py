"""Rules that do not look at the batch: one beta for all of training, or a schedule over its progress."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.coefficients.base import AbstractCoefficient, Situation, coefficients
from toylab.types import Scalar


@coefficients.register("constant", citation="lu2026variance")
class Constant(AbstractCoefficient):
    """The same beta at every step and every pair of times."""

    formula: ClassVar[str] = r"\beta(k) = \beta_0"

    beta: float = eqx.field(default=0.5, converter=float)

    def __call__(self, at: Situation) -> Scalar:
        """beta."""
        return jnp.asarray(self.beta, at.t.dtype)


class AbstractAnneal(AbstractCoefficient):
    """beta + (end - beta) * shape(s), s = min(progress / until, 1), shape from 0 to 1.

    Args:
        beta: value at the start.
        end: value after the share ``until`` of training.
        until: share of training, in (0, 1].
    """

    beta: float = eqx.field(default=1.0, converter=float)
    end: float = eqx.field(default=0.0, converter=float)
    until: float = eqx.field(default=0.6, converter=float)

    def __check_init__(self):
        if not 0 < self.until <= 1:
            raise ValueError(f"until must lie in (0, 1], got {self.until}")

    @abstractmethod
    def shape(self, s: Scalar) -> Scalar:
        """Monotone, 0 at s = 0 and 1 at s = 1."""

    def __call__(self, at: Situation) -> Scalar:
        """Beta at this progress."""
        return self.beta + (self.end - self.beta) * self.shape(jnp.minimum(at.progress / self.until, 1.0))


@coefficients.register("linear", citation="lu2026variance")
class Linear(AbstractAnneal):
    """Beta moves to its end value in a straight line."""

    formula: ClassVar[str] = r"\beta = \beta_0 + (\beta_1 - \beta_0)\, s,\quad s = \min(k / (\tau\, K), 1)"

    def shape(self, s: Scalar) -> Scalar:
        """s."""
        return s


@coefficients.register("cosine", citation="lu2026variance")
class Cosine(AbstractAnneal):
    """Beta moves to its end value along half a cosine."""

    formula: ClassVar[str] = (
        r"\beta = \beta_0 + (\beta_1 - \beta_0)\, \tfrac12 (1 - \cos \pi s),\quad s = \min(k / (\tau\, K), 1)"
    )

    def shape(self, s: Scalar) -> Scalar:
        """(1 - cos(pi s)) / 2."""
        return 0.5 * (1 - jnp.cos(jnp.pi * s))


@coefficients.register("step", citation="lu2026variance")
class Step(AbstractAnneal):
    """Beta jumps to its end value at the share ``until`` of training."""

    formula: ClassVar[str] = r"\beta = \beta_0 \;\text{ while } k < \tau\, K,\;\text{ then } \beta_1"

    def shape(self, s: Scalar) -> Scalar:
        """0 before s = 1, then 1."""
        return jnp.where(s < 1, 0.0, 1.0)
