"""Terms that several objectives share: derivative, targets, weights, the anchor, copies of the net as teachers."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Example
from toylab.proxies import Context
from toylab.types import Point, Scalar, VelocityNet

BOOTSTRAP_TEACHERS = ("ema", "online")
"""Copies of the net that can give a bootstrapped target."""


def average_velocity_and_derivative(
    net: VelocityNet, x_t: Point, r: Scalar, t: Scalar, tangent: Point
) -> tuple[Point, Point]:
    """u(x_t, r, t) and du/dt, its derivative along (tangent, 0, 1), in one forward-mode pass."""
    # r is held fixed: d/dt of the integral over [r, t] moves its upper end alone.
    return jax.jvp(net, (x_t, r, t), (tangent, jnp.zeros_like(r), jnp.ones_like(t)))


def derivative_target(v_target: Point, gap: Scalar, du_dt: Point) -> Point:
    """v_target - (t - r) du/dt without gradient: what u equals where it is the average of v_target."""
    # Without the stop the gradient would be of second order and its optimum biased by grad Tr(J Sigma J^T).
    return jax.lax.stop_gradient(v_target - gap * du_dt)


def discrete_target(net: VelocityNet, example: Example, v_target: Point, alpha: Scalar) -> Point:
    """alpha v_target + (1 - alpha) u(x_s, r, s) without gradient, s = t - alpha (t - r), x_s on the straight path.

    The first share alpha of the way down by the velocity, the rest by the net itself: no derivative is taken.
    (u - target) / alpha tends to u - v_target + (t - r) du/dt as alpha -> 0, du/dt along v_cond.

    Source: Zhang et al. 2025 (zhang2025alphaflow); Luo et al. 2025 (luo2025soflow).
    """
    s = example.t - alpha * example.gap
    rest = net(example.x_t - alpha * example.gap * example.v_cond, example.r, s)
    return jax.lax.stop_gradient(alpha * v_target + (1 - alpha) * rest)


def squared_norm(residual: Point) -> Scalar:
    """|residual|^2, summed over coordinates."""
    return jnp.sum(residual**2)


class AdaptiveWeight(eqx.Module):
    """loss -> loss / sg(loss + constant)^power: with power 1 heavy examples count less. Power 0 is no weight.

    Source: Geng et al. 2025 (geng2025meanflow), section 4.3.
    """

    power: float = eqx.field(default=0.0, converter=float)
    constant: float = eqx.field(default=0.01, converter=float)

    def __call__(self, loss: Scalar) -> Scalar:
        """The weighted loss."""
        # The weight is a number per example: with a gradient through it, power 1 would train log(loss + constant).
        return loss / jax.lax.stop_gradient((loss + self.constant) ** self.power)


class Anchor(eqx.Module):
    """weight * |u(x_t, t - delta, t) - v_cond|^2 with delta ~ U[low, high]: holds u near the velocity as r -> t.

    Source: Lu and Wang 2026 (lu2026variance), practical estimator at beta = 1.
    """

    weight: float = eqx.field(default=0.5, converter=float)
    low: float = eqx.field(default=1e-4, converter=float)
    high: float = eqx.field(default=1e-2, converter=float)

    def __call__(self, net: VelocityNet, example: Example) -> Scalar:
        """Anchor loss; uses the first of the uniform numbers of the example."""
        delta = self.low + (self.high - self.low) * example.uniforms[0]
        u = net(example.x_t, example.t - delta, example.t)
        return self.weight * squared_norm(u - example.v_cond)


def bootstrap_net(context: Context, teacher: str) -> VelocityNet:
    """The copy called ``teacher``; its caller stops the gradient."""
    return context.net_ema if teacher == "ema" else context.net


def teacher_of(context: Context) -> VelocityNet:
    """The second copy of the net.

    Raises:
        ValueError: the training loop keeps none.
    """
    if context.net_teacher is None:
        raise ValueError(
            "context.net_teacher is None: the method needs a second copy of the net (see teacher_decay)"
        )
    return context.net_teacher
