"""Base class of coefficient rules, and their inputs."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from toylab.registry import Registry
from toylab.types import AnyArray, Matrix, Scalar

Memory: TypeAlias = PyTree[Float[AnyArray, "..."]]
"""State of a rule between steps; part of the training state."""


class Situation(NamedTuple):
    """Inputs of a rule at one example. The two functions cost nothing unless they are called."""

    progress: Scalar
    """Share of training done, in [0, 1]."""
    r: Scalar
    t: Scalar
    memory: Memory = ()
    gap_jacobian: Callable[[], Matrix] | None = None
    """A = (t - r) d_x u(x_t, r, t) at the example."""
    covariance: Callable[[], Matrix] | None = None
    """Sigma = Cov[v_cond | x_t], exact, from the dataset."""


class Observations(NamedTuple):
    """Rows of a batch, for rules that estimate beta: with w = v_hat - v_cond and R(beta) = R(0) + beta A w,
    |R(beta)|^2 is the quadratic |R(0)|^2 + 2 beta cross + beta^2 square."""

    r: Float[AnyArray, " n"]
    t: Float[AnyArray, " n"]
    cross: Float[AnyArray, " n"]
    """R(0) . A w."""
    square: Float[AnyArray, " n"]
    """|A w|^2."""


class AbstractCoefficient(eqx.Module):
    """A rule for beta, the weight of the proxy in the tangent (1 - beta) v_cond + beta v_hat."""

    formula: ClassVar[str] = ""
    """beta in LaTeX."""
    observed_share: ClassVar[float] = 0.0
    """Share of the rows with r < t that the rule observes at every step."""
    local: ClassVar[bool] = False
    """Whether beta depends on the point x_t, so that a history shows no single number."""

    beta: eqx.AbstractVar[float]

    def init_memory(self) -> Memory:
        """Memory before the first step."""
        return ()

    def remember(self, memory: Memory, observed: Observations) -> Memory:
        """The memory after one more batch."""
        return memory

    @abstractmethod
    def __call__(self, at: Situation) -> Scalar | Matrix:
        """Beta at one example."""

    def headline(self, progress: Scalar, memory: Memory) -> Scalar:
        """The number that a history shows: beta at r = 0, t = 1; NaN for a local rule."""
        if self.local:
            return jnp.asarray(jnp.nan, jnp.float32)
        zero = jnp.zeros((), jnp.float32)
        value = self(Situation(progress, zero, zero + 1, memory))
        return jnp.asarray(value, jnp.float32)


coefficients: Registry[AbstractCoefficient] = Registry("coefficient", "toylab.coefficients")
