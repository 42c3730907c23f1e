"""Decoupled MeanFlow: a flow-matching net becomes a flow map by showing the earlier time to its last layers alone."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax

from toylab.methods.base import AbstractTwoStageMethod, Beta, Example, Part, methods
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import (
    AdaptiveWeight,
    Anchor,
    average_velocity_and_derivative,
    squared_norm,
    teacher_of,
)
from toylab.proxies import AbstractProxy, Context
from toylab.proxies.builtin import EMA, Conditional
from toylab.types import Scalar


@methods.register("decoupled_meanflow", citation="lee2025decoupled")
class DecoupledMeanFlow(AbstractTwoStageMethod):
    r"""MeanFlow of a net u = g(f(x, t), r, t) whose encoder f was trained by flow matching first.

    The gap enters the last layers alone, as an input that vanishes at r = t: the second stage starts with u(x, t, t)
    equal to the teacher's velocity. Its loss is MeanFlow, published with C = log(m + 0.01), m the mean over
    coordinates; that has the gradient of an adaptive weight of power 1, in 2-D with the constant 0.02 for the sum. With
    ``distill`` the frozen teacher's velocity stands for v_cond in tangent AND target where r < t: no noise at all, and
    the teacher's error is the bias; beta then plays no part. Rows with r = t keep learning from data.

    Args:
        first_stage: share of training for flow matching, in (0, 1).
        encoder_depth: hidden layers that see t alone; -k is all but the last k. Published: 20 of 28 blocks.
        distill: whether the teacher's velocity replaces the conditional one where r < t.
        tangent: proxy v_hat of the tangent.
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.

    Raises:
        ValueError: a first_stage outside (0, 1); an encoder_depth that leaves no layer (when the net is built).

    Source: Lee, Yu and Shin 2025, arXiv:2510.24474. Confidence: high for the loss. Its log carries a learned
    uncertainty as well, left out here: in its code that drifts until the weight is 1/m. Its flow-matching half draws
    times of its own, logit-normal (0, 1); ours are the later times of ``time_sampler``. The first stage's share is
    ours.
    """

    uses_beta: ClassVar[bool] = True
    changes: ClassVar[tuple[Part, ...]] = ("net", "weighting")
    formula: ClassVar[str] = (
        r"\log(\tfrac1d |u - \mathrm{sg}[v - (t-r)\, D_{(1-\beta) v + \beta \hat v}\, u]|^2 + 0.01),\;"
        r" u = g(f(x_t, t), r, t)"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "beta": 0.0,
            "time_sampler": "two_logit_normals",
            "time_options": {"mean_t": 0.4, "std_t": 1.0, "mean_r": -1.2, "std_r": 1.0, "order": "sort"},
            "p_equal": 0.5,
            "adaptive_power": 1.0,
            "adaptive_constant": 0.02,
            "optimizer": "adamw",
            "grad_clip": 1.0,
        }
    )

    first_stage: float = eqx.field(default=0.3, converter=float)
    encoder_depth: int = eqx.field(default=-1, static=True)
    distill: bool = eqx.field(default=False, static=True)
    tangent: AbstractProxy = eqx.field(default_factory=EMA)
    target: AbstractProxy = eqx.field(default_factory=Conditional)
    weight: AdaptiveWeight = eqx.field(default_factory=AdaptiveWeight)
    anchor: Anchor | None = None

    @property
    def meanflow(self) -> MeanFlow:
        """The loss of the second stage."""
        return MeanFlow(tangent=self.tangent, target=self.target, weight=self.weight, anchor=self.anchor)

    @property
    def net_options(self) -> dict[str, Any]:
        """A net whose first layers do not see r."""
        return {"encoder_depth": self.encoder_depth}

    @property
    def num_uniforms(self) -> int:
        """What MeanFlow needs."""
        return self.meanflow.num_uniforms

    @property
    def num_reference(self) -> int:
        """What MeanFlow needs."""
        return self.meanflow.num_reference

    def teacher_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Flow matching at the later time."""
        return self.equal_loss(example, context)

    def pair_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """MeanFlow, or its distillation."""
        if not self.distill:
            return self.meanflow.pair_loss(example, context, beta)
        x_t, r, t = example.x_t, example.r, example.t
        velocity = jax.lax.stop_gradient(teacher_of(context)(x_t, t, t))
        u, du_dt = average_velocity_and_derivative(context.net, x_t, r, t, velocity)
        u_target = jax.lax.stop_gradient(velocity - (t - r) * du_dt)
        loss = self.weight(squared_norm(u - u_target))
        return loss if self.anchor is None else loss + self.anchor(context.net, example)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching at r = t, in both stages."""
        return self.meanflow.equal_loss(example, context)
