"""What a method is: the loss of one example.

A method never sees a batch, an optimiser or a config, only velocity nets as functions; it can be used in any training
loop. The batch is stratified by the caller: ``pair_loss`` for the rows with r < t, ``equal_loss`` for those with r = t.
"""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from toylab.paths import conditional_velocity, interpolate
from toylab.proxies import ProxyInputs
from toylab.registry import Registry
from toylab.types import Point, Scalar


class Example(NamedTuple):
    """One training example: a pair of ends, a pair of times, and random numbers that the method asked for."""

    x0: Point
    eps: Point
    r: Scalar
    t: Scalar
    uniforms: Float[Array, " k"]
    """``num_uniforms`` independent draws from U(0, 1)."""

    @property
    def x_t(self) -> Point:
        """Point on the path at time t."""
        return interpolate(self.x0, self.eps, self.t)

    @property
    def v_cond(self) -> Point:
        """Conditional velocity of the path."""
        return conditional_velocity(self.x0, self.eps)


class AbstractMethod(eqx.Module):
    """A training objective for an average velocity u(x, r, t)."""

    uses_pairs: ClassVar[bool] = True
    """False where every row has r = t."""
    sampler: ClassVar[Literal["average_velocity", "ode"]] = "average_velocity"
    """How to sample: steps of the average velocity, or an ODE solver on u(x, t, t)."""

    @property
    def num_uniforms(self) -> int:
        """Uniform random numbers that one example needs."""
        return 0

    @property
    def num_reference(self) -> int:
        """Fresh data points that the proxies of a batch need."""
        return 0

    @abstractmethod
    def pair_loss(self, example: Example, inputs: ProxyInputs, beta: Scalar) -> Scalar:
        """Loss of one example with r < t; gradients flow through ``inputs.net`` alone."""

    @abstractmethod
    def equal_loss(self, example: Example, inputs: ProxyInputs) -> Scalar:
        """Loss of one example with r = t."""


methods: Registry[AbstractMethod] = Registry("method", "toylab.methods")
