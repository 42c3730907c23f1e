"""Rectified MeanFlow: MeanFlow straightened by pairs that it has made itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx

from toylab.methods.base import Beta, Confidence, Example, methods
from toylab.methods.re_meanflow import ReMeanFlow
from toylab.methods.terms import teacher_of
from toylab.nets.sampling import average_velocity_trajectory
from toylab.proxies import Context
from toylab.types import Point, Scalar


@methods.register("rectified_meanflow", citation="zhang2025remeanflow")
class RectifiedMeanFlow(ReMeanFlow):
    r"""MeanFlow first; then MeanFlow on pairs (eps, x0) with x0 sampled from its own moving average in a few steps.

    `ReMeanFlow` without a flow-matching teacher: the frozen moving average of the first stage makes the pool in
    ``solver_steps`` steps x_r = x_t - (t - r) u(x_t, r, t). The same bias: what it samples can be no better than those
    few steps.

    Args:
        first_stage: share of training for the first MeanFlow, in (0, 1).
        num_pairs: size of the pool.
        solver_steps: average-velocity steps for each pair.
        prune: share of the pool, the farthest pairs by |eps - x0|, that is left out, in [0, 1).
        tangent: proxy v_hat of the tangent, in both stages.
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.

    Raises:
        ValueError: as `ReMeanFlow`.

    Source: our own construction, after the self-distillation that the revised abstract of Zhang et al. 2025,
    arXiv:2511.23342, speaks of. Confidence: low; nothing of it is published.
    """

    confidence: ClassVar[Confidence] = "low"
    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    first_stage: float = eqx.field(default=0.5, converter=float)
    solver_steps: int = eqx.field(default=4, static=True)

    def teacher_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """MeanFlow on independent data and noise."""
        return self.meanflow.pair_loss(example, context, beta)

    def make_pair(self, example: Example, context: Context) -> tuple[Point, Point]:
        """Where a few steps carry the noise, and the noise."""
        trajectory = average_velocity_trajectory(teacher_of(context), example.eps, self.solver_steps)
        return trajectory[-1], example.eps
