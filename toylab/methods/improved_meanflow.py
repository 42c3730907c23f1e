"""Improved MeanFlow: the tangent is the net's own velocity, from a second head or from u at r = t."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import average_velocity_and_derivative, derivative_target, squared_norm
from toylab.proxies import Context
from toylab.types import Point, Scalar, TwoHeadedNet, VelocityNet


@methods.register("improved_meanflow", citation="geng2025improved")
class ImprovedMeanFlow(AbstractRegression):
    r"""MeanFlow along the net's own velocity a in the place of v_cond, with a head of its own for it.

    pair_loss = w(|u - sg[v_tgt - (t - r) du/dt]|^2) + w(|v_head(x_t, r, t) - v_tgt|^2), du/dt along (a, 0, 1) with
    a = sg v_head(x_t, t, t): the head learns at (r, t), in the pass that gives u, and is asked at (t, t). The paper
    writes the first term as |u + (t - r) sg[du/dt] - v|^2, which has the same gradient. Head-free, a = sg u(x_t, t, t)
    and the second term drops: MeanFlow at beta = 1 with the proxy ``online``.

    Args:
        target: proxy in the place of both regression targets; conditional by default.
        weight: adaptive weight, of each of the two terms on its own.
        anchor: small-gap flow matching on every row, or None.
        head: a second output for the velocity; without it u at r = t stands for it.

    Source: Geng et al. 2025, arXiv:2512.02012 (geng2025improved). Confidence: high.
    """

    changes: ClassVar[tuple[Part, ...]] = ("tangent",)
    formula: ClassVar[str] = (
        r"|u - \mathrm{sg}[v_{\rm cond} - (t-r)\, D_a u]|^2 + |v_{\rm head}(x_t, r, t) - v_{\rm cond}|^2,\quad "
        r"a = \mathrm{sg}\, v_{\rm head}(x_t, t, t)"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"time_sampler": "logit_normal", "p_equal": 0.5, "adaptive_power": 1.0, "adaptive_constant": 0.01}
    )

    head: bool = eqx.field(default=True, static=True)

    def __check_init__(self):
        if not isinstance(self.head, bool):
            raise ValueError(f"head must be true or false, got {self.head!r}")

    @property
    def net_options(self) -> dict[str, Any]:
        """The second head, where it is used."""
        return {"velocity_head": True} if self.head else {}

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The terms of u and of the head; beta plays no part."""
        x_t, r, t, gap = example.x_t, example.r, example.t, example.gap
        v_target = self.pair_target(example, context)
        if not self.head:
            tangent = jax.lax.stop_gradient(context.net(x_t, t, t))
            u, du_dt = average_velocity_and_derivative(context.net, x_t, r, t, tangent)
            return self.weight(squared_norm(u - derivative_target(v_target, gap, du_dt)))
        net = two_headed(context.net)
        tangent = jax.lax.stop_gradient(net.with_velocity(x_t, t, t)[1])
        (u, velocity), (du_dt, _) = jax.jvp(
            net.with_velocity, (x_t, r, t), (tangent, jnp.zeros_like(r), jnp.ones_like(t))
        )
        average = self.weight(squared_norm(u - derivative_target(v_target, gap, du_dt)))
        return average + self._head_loss(velocity, example, context)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching of u and of the head."""
        loss = super().equal_loss(example, context)
        if not self.head:
            return loss
        velocity = two_headed(context.net).with_velocity(example.x_t, example.t, example.t)[1]
        return loss + self._head_loss(velocity, example, context)

    def _head_loss(self, velocity: Point, example: Example, context: Context) -> Scalar:
        # A proxy built from the net cannot supervise the head, at any pair of times: there the target is v_cond.
        return self.weight(squared_norm(velocity - self.equal_target(example, context)))


def two_headed(net: VelocityNet) -> TwoHeadedNet:
    """``net``, known to have a second head.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(net, TwoHeadedNet):
        raise ValueError(
            "improved_meanflow needs a net with `with_velocity`; choices: such a net, head=False"
        )
    return net
