"""Modular MeanFlow: the stop-gradient of the derivative is lifted during training."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import average_velocity_and_derivative, squared_norm
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("modular_meanflow", citation="modular2025meanflow")
class ModularMeanFlow(AbstractRegression):
    r"""MeanFlow at beta = 0 with a share l of the gradient of its derivative.

    pair_loss = w(|u + (t - r) SG_l[du/dt] - v_tgt|^2), SG_l[z] = l z + (1 - l) sg[z], l = min(1, progress / warm_up):
    MeanFlow at l = 0, the whole residual's gradient (of second order) at l = 1. That has a biased optimum: given x_t
    the residual has the variance Tr(J Sigma J^T), J = (t-r) d_x u - I, Sigma = Cov[v_cond | x_t], and at the exact
    solution the mean gradient is l times the gradient of that trace: it contracts the flow map. In two dimensions
    that is fatal: with the default warm-up one-step samples contract to a quarter of the data's standard deviation,
    and score a sliced W1 of 1.48 on checkerboard and 1.46 on eight_gaussians where vanilla MeanFlow has 0.058 and 0.073
    (budget of 20,000 steps, batch 64, 3 seeds; results/methods).

    Args:
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.
        warm_up: share of training after which l = 1, above 0.

    Source: arXiv:2508.17426 (modular2025meanflow). Confidence: medium for the formula; warm_up is not verified.
    """

    changes: ClassVar[tuple[Part, ...]] = ("jacobian",)
    formula: ClassVar[str] = (
        r"|u + (t-r)\, \mathrm{SG}_\lambda[D_{v_{\rm cond}} u] - v_{\rm cond}|^2,\quad "
        r"\mathrm{SG}_\lambda[z] = \lambda z + (1-\lambda)\, \mathrm{sg}[z]"
    )
    confidence: ClassVar = "medium"
    unbiased: ClassVar[bool] = False

    warm_up: float = eqx.field(default=0.5, converter=float)

    def __check_init__(self):
        if not self.warm_up > 0:
            raise ValueError(f"warm_up must be above 0, got {self.warm_up}")

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The residual with a partly frozen derivative; beta plays no part."""
        u, du_dt = average_velocity_and_derivative(
            context.net, example.x_t, example.r, example.t, example.v_cond
        )
        lifted = jnp.minimum(1.0, jnp.asarray(context.progress, u.dtype) / self.warm_up)
        du_dt = lifted * du_dt + (1 - lifted) * jax.lax.stop_gradient(du_dt)
        return self.weight(squared_norm(u + example.gap * du_dt - self.pair_target(example, context)))
