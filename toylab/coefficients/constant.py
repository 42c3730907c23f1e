"""One beta for all of training."""

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
