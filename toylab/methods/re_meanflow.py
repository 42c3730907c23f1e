"""Re-MeanFlow: MeanFlow on pairs of noise and data that a flow-matching teacher has made."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.methods.base import AbstractTwoStageMethod, Beta, Example, Part, methods
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight, Anchor, teacher_of
from toylab.nets.sampling import heun_trajectory
from toylab.proxies import AbstractProxy, Context
from toylab.proxies.builtin import EMA, Conditional
from toylab.types import Pairs, Point, Scalar

COUPLING_FREE = ("conditional", "ema", "online")
"""Proxies that follow the coupling they are given; the rest know the velocity of independent data and noise alone."""


@methods.register("re_meanflow", citation="zhang2025remeanflow")
class ReMeanFlow(AbstractTwoStageMethod):
    r"""Flow matching first; then MeanFlow on a pool of pairs (eps, x0) with x0 the teacher's ODE solution from eps.

    The pool is made once, by Heun steps of the frozen teacher. On its chords x_t = (1 - t) x0 + t eps the conditional
    velocity is almost a function of x_t: the noise Cov(v_cond | x_t) itself shrinks, for every beta. The average
    velocity learned is that of the pairs' own flow, not of independent data and noise: it brings noise to the teacher's
    samples, so the error of teacher and solver is the bias of what is sampled, and the pool is finite. For data
    N(0, s^2) the exact pairs are (eps, s eps), and the solution is u(x, r, t) = (1 - s) x / ((1 - t) s + t), without
    any noise.

    Args:
        first_stage: share of training for the teacher, in (0, 1).
        num_pairs: size of the pool.
        solver_steps: Heun steps for each pair.
        prune: share of the pool, the farthest pairs by |eps - x0|, that is left out, in [0, 1). Published: those beyond
            a distance tuned to image latents. It cuts both ends' distributions, so it is off by default.
        tangent: proxy v_hat of the tangent.
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.

    Raises:
        ValueError: an option out of range, or a proxy that knows the velocity of independent pairs alone.

    Source: Zhang et al. 2025, arXiv:2511.23342. Confidence: high. Published with beta 0 and a teacher from elsewhere:
    the share of the first stage is ours.
    """

    uses_beta: ClassVar[bool] = True
    changes: ClassVar[tuple[Part, ...]] = ("coupling",)
    formula: ClassVar[str] = (
        r"|u - \mathrm{sg}[v - (t-r)\, D_{(1-\beta) v + \beta \hat v}\, u]|^2,\; v = \epsilon - \hat x_0(\epsilon)"
    )
    unbiased: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        # Mean over coordinates and constant 0.01 there: twice the constant for the sum in 2-D.
        {
            "beta": 0.0,
            "time_sampler": "u_shaped",
            "p_equal": 0.75,
            "adaptive_power": 0.5,
            "adaptive_constant": 0.02,
        }
    )

    first_stage: float = eqx.field(default=0.3, converter=float)
    num_pairs: int = eqx.field(default=16_384, static=True)
    solver_steps: int = eqx.field(default=32, static=True)
    prune: float = eqx.field(default=0.0, converter=float)
    tangent: AbstractProxy = eqx.field(default_factory=EMA)
    target: AbstractProxy = eqx.field(default_factory=Conditional)
    weight: AdaptiveWeight = eqx.field(default_factory=AdaptiveWeight)
    anchor: Anchor | None = None

    def __check_init__(self):
        for name in ("num_pairs", "solver_steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if not 0 <= self.prune < 1:
            raise ValueError(f"prune must lie in [0, 1), got {self.prune}")
        for role, proxy in (("tangent", self.tangent), ("target", self.target)):
            if not proxy.follows_coupling:
                raise ValueError(
                    f"the {role}'s proxy {type(proxy).__name__} knows the velocity of independent data and noise, not "
                    f"of the teacher's pairs; choices: {', '.join(COUPLING_FREE)}"
                )

    @property
    def meanflow(self) -> MeanFlow:
        """The loss of the second stage."""
        return MeanFlow(tangent=self.tangent, target=self.target, weight=self.weight, anchor=self.anchor)

    @property
    def num_uniforms(self) -> int:
        """What MeanFlow needs, and one to pick a pair."""
        return self.meanflow.num_uniforms + 1

    def teacher_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Flow matching at the later time."""
        return self.equal_loss(example, context)

    def make_pair(self, example: Example, context: Context) -> tuple[Point, Point]:
        """Where the teacher's flow carries the noise, and the noise."""
        return heun_trajectory(teacher_of(context), example.eps, 2 * self.solver_steps)[-1], example.eps

    def arrange_pairs(self, pairs: Pairs) -> Pairs:
        """Sorted by distance, so that leaving the farthest out needs no other shape."""
        return pairs[jnp.argsort(jnp.sum((pairs[:, 1] - pairs[:, 0]) ** 2, axis=1))]

    def coupled(self, example: Example, context: Context) -> Example:
        """The example with a pair of the pool in the place of its own data and noise."""
        if context.pairs is None:
            raise ValueError(
                "context.pairs is None: the method needs a pool of pairs (x0, eps) made by make_pair"
            )
        # The last uniform: the first belongs to the anchor.
        kept = (1 - self.prune) * context.pairs.shape[0]
        index = jnp.minimum(jnp.floor(example.uniforms[-1] * kept), jnp.ceil(kept) - 1).astype(int)
        x0, eps = context.pairs[index]
        return example._replace(x0=x0, eps=eps)

    def pair_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """MeanFlow."""
        return self.meanflow.pair_loss(example, context, beta)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching at r = t, of data in the first stage and of pairs in the second."""
        return self.meanflow.equal_loss(example, context)
