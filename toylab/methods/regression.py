"""Base of regressions of the average velocity: a target at r = t, an adaptive weight, an anchor."""

from abc import abstractmethod

import equinox as eqx
import jax

from toylab.methods.base import AbstractMethod, Beta, Example
from toylab.methods.terms import AdaptiveWeight, Anchor, squared_norm
from toylab.proxies import AbstractProxy, Context
from toylab.proxies.builtin import Conditional
from toylab.types import Point, Scalar


class AbstractRegression(AbstractMethod):
    """Regression of u(x_t, r, t) on a target; at r = t flow matching, u(x_t, t, t) -> v_target.

    A proxy built from the net cannot supervise itself at r = t, so those rows keep v_cond.

    Args:
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.
    """

    target: AbstractProxy = eqx.field(default_factory=Conditional)
    weight: AdaptiveWeight = eqx.field(default_factory=AdaptiveWeight)
    anchor: Anchor | None = None

    @property
    def num_uniforms(self) -> int:
        """1 for the gap of the anchor, 0 without one."""
        return 0 if self.anchor is None else 1

    @property
    def num_reference(self) -> int:
        """Number that the proxy of the target needs."""
        return self.target.num_reference

    @abstractmethod
    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The weighted loss of one example with r < t, without the anchor."""

    def pair_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The regression and the anchor."""
        return self.regression(example, context, beta) + self._anchor_loss(example, context)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching at r = t."""
        u = context.velocity  # guidance has evaluated it already
        if u is None:
            u = context.net(example.x_t, example.t, example.t)
        residual = u - self.equal_target(example, context)
        return self.weight(squared_norm(residual)) + self._anchor_loss(example, context)

    def pair_target(self, example: Example, context: Context) -> Point:
        """v_target of a row with r < t, without gradient."""
        x0, eps, t = example.x0, example.eps, example.t
        return jax.lax.stop_gradient(self.target(example.x_t, t, x0, eps, context))

    def equal_target(self, example: Example, context: Context) -> Point:
        """v_target of a row with r = t, without gradient."""
        return example.v_cond if self.target.uses_net else self.pair_target(example, context)

    def _anchor_loss(self, example: Example, context: Context) -> Scalar | float:
        return 0.0 if self.anchor is None else self.anchor(context.net, example)
