"""Base class of methods: the loss of one example.

A method takes velocity nets as functions, never a batch, an optimiser or a config, so it works in any training loop.
The caller stratifies the batch: ``pair_loss`` for the rows with r < t, ``equal_loss`` for those with r = t.
"""

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float

from toylab.proxies import Context
from toylab.registry import Registry
from toylab.types import Label, Matrix, Pairs, Point, Scalar, conditional_velocity, interpolate

Beta = Scalar | Matrix
"""A coefficient: one number, or a matrix that acts on velocities."""

Part = Literal["tangent", "target", "jacobian", "coupling", "weighting", "net"]
"""The parts of vanilla MeanFlow that a method may change."""

Confidence = Literal["high", "medium", "low"]
"""Confidence that the file states the published objective."""


class Example(NamedTuple):
    """One training example: a pair of ends, a pair of times, and random numbers that the method asked for."""

    x0: Point
    eps: Point
    r: Scalar
    t: Scalar
    uniforms: Float[Array, " k"]
    """``num_uniforms`` independent draws from U(0, 1)."""
    label: Label | None = None
    """The class that the net is told, where there are classes."""

    @property
    def x_t(self) -> Point:
        """Point on the path at time t."""
        return interpolate(self.x0, self.eps, self.t)

    @property
    def v_cond(self) -> Point:
        """Conditional velocity of the path."""
        return conditional_velocity(self.x0, self.eps)

    @property
    def gap(self) -> Scalar:
        """t - r."""
        return self.t - self.r

    def at(self, time: Scalar) -> Point:
        """Point on the path at another time."""
        return interpolate(self.x0, self.eps, time)

    def with_velocity(self, velocity: Point) -> "Example":
        """The example on the straight path through the same x_t with another velocity; its ends move along."""
        x_t, t = self.x_t, self.t
        return self._replace(x0=x_t - t * velocity, eps=x_t + (1 - t) * velocity)


class AbstractMethod(eqx.Module):
    """A training objective for an average velocity u(x, r, t).

    Class variables hold its facts for tables and pages; properties declare what it needs from a training loop.
    """

    uses_pairs: ClassVar[bool] = True
    """False where every row has r = t."""
    uses_beta: ClassVar[bool] = False
    """Whether the loss depends on the coefficient of the tangent."""
    sampler: ClassVar[Literal["average_velocity", "ode"]] = "average_velocity"
    """How to sample: steps of the average velocity, or Heun's ODE solver on u(x, t, t)."""
    eval_nfe: ClassVar[int] = 1
    """Default of network evaluations per sample: in histories, saved samples and scores."""
    changes: ClassVar[tuple[Part, ...]] = ()
    """The parts of vanilla MeanFlow that it changes."""
    formula: ClassVar[str] = ""
    """The loss of a row with r < t, in LaTeX."""
    confidence: ClassVar[Confidence] = "high"
    unbiased: ClassVar[bool] = True
    """Whether the exact average velocity is a stationary point when every net or proxy that stands for the velocity is
    exact."""
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Published settings of a `RunConfig`, as far as they carry over to two dimensions."""

    adapted: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Settings that a run of thousands of steps needs, where the paper has hundreds of thousands; the docstring says
    why."""

    @property
    def num_uniforms(self) -> int:
        """Uniform random numbers that one example needs."""
        return 0

    @property
    def num_reference(self) -> int:
        """Fresh data points that the proxies of a batch need."""
        return 0

    @property
    def net_options(self) -> dict[str, Any]:
        """Fields of the net's spec that the method sets."""
        return {}

    @property
    def teacher_decay(self) -> Scalar | float | None:
        """Decay of the moving average ``net_teacher``; None without one."""
        return None

    @abstractmethod
    def pair_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Loss of one example with r < t; gradients flow through ``context.net`` alone."""

    @abstractmethod
    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Loss of one example with r = t."""


class AbstractTwoStageMethod(AbstractMethod):
    """A method that trains a teacher first and learns from it afterwards, both inside one budget.

    When the share ``first_stage`` of training is done, the moving average, less what it still holds of the initial
    net, becomes the frozen ``net_teacher``; the net goes on from there with a fresh optimiser, and ``num_pairs`` pairs
    are drawn from the teacher.

    Raises:
        ValueError: a first_stage outside (0, 1).
    """

    first_stage: eqx.AbstractVar[float]
    """Share of training for the teacher, in (0, 1)."""

    def __check_init__(self):
        if not 0 < self.first_stage < 1:
            raise ValueError(f"first_stage must lie strictly between 0 and 1, got {self.first_stage}")

    @property
    def num_pairs(self) -> int:
        """Pairs (x0, eps) to be made by the teacher and kept."""
        return 0

    @abstractmethod
    def teacher_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Loss of one example with r < t during the first stage."""

    def make_pair(self, example: Example, context: Context) -> tuple[Point, Point]:
        """One pair (x0, eps) from ``context.net_teacher``; ``example`` brings fresh data and noise."""
        return example.x0, example.eps

    def arrange_pairs(self, pairs: Pairs) -> Pairs:
        """All pairs in the order in which they are stored; called once, after they are made."""
        return pairs

    def coupled(self, example: Example, context: Context) -> Example:
        """The example with another coupling of data and noise: by default its own."""
        return example


methods: Registry[AbstractMethod] = Registry("method", "toylab.methods")


def mixed_tangent(v_cond: Point, v_hat: Point, beta: Beta) -> Point:
    """(1 - beta) v_cond + beta v_hat without gradient; beta may be a matrix."""
    # In this form beta = 0 gives v_cond to the last bit.
    shift = v_hat - v_cond
    return jax.lax.stop_gradient(v_cond + (beta @ shift if beta.ndim == 2 else beta * shift))
