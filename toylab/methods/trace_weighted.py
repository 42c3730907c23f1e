"""MeanFlow with less weight where the Jacobi factor amplifies noise."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import squared_norm
from toylab.proxies import Context
from toylab.types import Scalar

SQUARED_SIGMAS: dict[str, Callable[[Scalar], Scalar]] = {
    "one": jnp.ones_like,
    "t": lambda t: t**2,
    "t2": lambda t: t**4,
    "sqrt": lambda t: t * (1 - t),
    "gaussian": lambda t: 1 / ((1 - t) ** 2 + t**2),
}
"""sigma_t^2 for each choice of sigma_t: 1, t, t^2, sqrt(t (1 - t)), and the posterior of a unit Gaussian."""


@methods.register("trace_weighted", citation="lu2026variance")
class TraceWeighted(MeanFlow):
    r"""MeanFlow whose rows weigh 1 / (1 + sigma_t^2 Tr(J J^T) / d), J = (t-r) d_x u - I, without gradient.

    The trace is exact, from one derivative per dimension. Rows with r = t have J = -I and weigh 1 / (1 + sigma_t^2).
    The adaptive weight, if there is one, comes on top. Published with beta = 1. The learned sigma_t is left out.

    Args:
        tangent: proxy v_hat of the tangent.
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, without the trace's weight, or None.
        sigma: sigma_t: one, t, t2, sqrt or gaussian.

    Raises:
        ValueError: an unknown sigma.

    Source: Lu and Wang 2026, arXiv:2605.09235 (lu2026variance), trace weighting. Confidence: high for the form,
    medium for which sigma_t made the tables.
    """

    changes: ClassVar[tuple[Part, ...]] = ("tangent", "weighting")
    formula: ClassVar[str] = (
        r"\frac{1}{1 + \sigma_t^2\, \mathrm{sg}\,\mathrm{Tr}(J J^\top)/d} "
        r"|u - \mathrm{sg}[v_{\rm cond} - (t-r)\, D_{(1-\beta) v_{\rm cond} + \beta \hat v}\, u]|^2,\quad "
        r"J = (t-r)\, \partial_x u - I"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "beta": 1.0,
            "proxy": "ema",
            "ema_decay": 0.999,
            "time_sampler": "uniform",
            "max_gap": 0.5,
            "p_equal": 0.25,
            "adaptive_power": 0.0,
            "learning_rate": 1e-3,
            "lr_schedule": "cosine",
            "batch_size": 256,
        }
    )

    sigma: str = eqx.field(default="one", static=True)

    def __check_init__(self):
        if self.sigma not in SQUARED_SIGMAS:
            raise ValueError(f"unknown sigma {self.sigma!r}; choices: {', '.join(sorted(SQUARED_SIGMAS))}")

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """MeanFlow's regression with the weight of the trace."""
        x_t, r, t = example.x_t, example.r, example.t
        jacobi_factor = example.gap * jax.jacfwd(lambda x: context.net(x, r, t))(x_t) - jnp.eye(x_t.size)
        mean_square = jnp.sum(jacobi_factor**2) / x_t.size
        trace_weight = jax.lax.stop_gradient(1 / (1 + SQUARED_SIGMAS[self.sigma](t) * mean_square))
        return trace_weight * super().regression(example, context, beta)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching with the weight of J = -I."""
        residual = context.net(example.x_t, example.t, example.t) - self.equal_target(example, context)
        trace_weight = 1 / (1 + SQUARED_SIGMAS[self.sigma](example.t))
        return trace_weight * self.weight(squared_norm(residual)) + self._anchor_loss(example, context)
