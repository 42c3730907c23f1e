"""MeanFlow with a free tangent coefficient: vanilla at beta = 0, proxy tangent at beta = 1."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax

from toylab.methods.base import Beta, Example, Part, methods, mixed_tangent
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import average_velocity_and_derivative, derivative_target, squared_norm
from toylab.proxies import AbstractProxy, Context
from toylab.proxies.builtin import EMA
from toylab.types import Point, Scalar


@methods.register("meanflow", citation="geng2025meanflow")
class MeanFlow(AbstractRegression):
    r"""Average-velocity regression with the tangent (1 - beta) v_cond + beta v_hat.

    pair_loss = w(|u - sg[v_tgt - (t - r) du/dt]|^2), du/dt along (tangent, 0, 1), where v_tgt is the conditional
    velocity or a proxy. At r = t this is flow matching, u(x_t, t, t) -> v_tgt; a proxy built from the net
    cannot supervise itself there, so those rows keep v_cond.

    Args:
        tangent: proxy v_hat of the tangent.
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.

    Source: Geng et al. 2025 (beta = 0); Lu and Wang 2026, arXiv:2605.09235 (any beta, anchor). Confidence: high.
    """

    uses_beta: ClassVar[bool] = True
    changes: ClassVar[tuple[Part, ...]] = ("tangent",)
    formula: ClassVar[str] = (
        r"|u - \mathrm{sg}[v_{\rm target} - (t-r)\, D_{(1-\beta) v_{\rm cond} + \beta \hat v}\, u]|^2"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"time_sampler": "logit_normal", "p_equal": 0.75, "adaptive_power": 1.0, "adaptive_constant": 0.01}
    )

    tangent: AbstractProxy = eqx.field(default_factory=EMA)

    @property
    def num_reference(self) -> int:
        """Maximum required by either proxy."""
        return max(self.tangent.num_reference, self.target.num_reference)

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Regression of u(x_t, r, t) on its own total derivative."""
        return self.weight(squared_norm(self.residual(example, context, beta)))

    def residual(self, example: Example, context: Context, beta: Beta) -> Point:
        """u - sg[v_target - (t - r) du/dt]."""
        x0, eps, r, t, *_ = example
        v_hat = self.tangent(example.x_t, t, x0, eps, context)
        tangent = mixed_tangent(example.v_cond, v_hat, beta)
        # v_cond has two roles: in the target its noise averages out, in the tangent the Jacobian multiplies it. beta
        # acts on the tangent alone.
        u, du_dt = average_velocity_and_derivative(context.net, example.x_t, r, t, tangent)
        return u - derivative_target(self.pair_target(example, context), example.gap, du_dt)

    def observe(self, example: Example, context: Context) -> tuple[Point, Point]:
        """R(0) and A w, the residual as a line in beta: R(beta) = R(0) + beta A w, w = v_hat - v_cond."""
        x0, eps, r, t, *_ = example
        x_t, v_cond = example.x_t, example.v_cond
        w = self.tangent(x_t, t, x0, eps, context) - v_cond
        u, du_dt = average_velocity_and_derivative(context.net, x_t, r, t, v_cond)
        residual = u - self.target(x_t, t, x0, eps, context) + (t - r) * du_dt
        slope = (t - r) * jax.jvp(lambda x: context.net(x, r, t), (x_t,), (w,))[1]
        return residual, slope
