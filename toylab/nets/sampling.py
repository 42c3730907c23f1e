"""From noise to data: steps of the average velocity, or an ODE solver on the instantaneous velocity."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from toylab.types import Point, Scalar, VelocityNet

Trajectory = Float[Array, "points dim"]


def average_velocity_trajectory(net: VelocityNet, eps: Point, nfe: int) -> Trajectory:
    """The states x_{t_0} = eps, ..., x_{t_n} = x0 of ``nfe`` equal steps x_r = x_t - (t - r) u(x_t, r, t)."""

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        return x - (t - r) * net(x, r, t)

    return _scan_times(move, eps, nfe)


def euler_trajectory(net: VelocityNet, eps: Point, nfe: int) -> Trajectory:
    """``nfe`` Euler steps of dx/dt = u(x, t, t) from t = 1 to t = 0: an error of order 1 / nfe."""

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        return x - (t - r) * net(x, t, t)

    return _scan_times(move, eps, nfe)


def heun_trajectory(net: VelocityNet, eps: Point, nfe: int) -> Trajectory:
    """Heun steps of dx/dt = u(x, t, t) from t = 1 to t = 0, two evaluations each: an error of order 1 / nfe^2.

    An odd ``nfe`` leaves one evaluation for the last step, which is Euler's; so is all of nfe = 1.
    """

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        v = net(x, t, t)
        return x - (t - r) / 2 * (v + net(x - (t - r) * v, r, r))

    num_steps = (nfe + 1) // 2
    if nfe % 2 == 0:
        return _scan_times(move, eps, num_steps)
    times = jnp.linspace(1.0, 0.0, num_steps + 1, dtype=eps.dtype)
    states = eps[None] if num_steps == 1 else _scan(move, eps, times[:-1])
    x, last = states[-1], times[-2]
    return jnp.concatenate([states, (x - last * net(x, last, last))[None]])


def _scan_times(move, eps: Point, nfe: int) -> Trajectory:
    return _scan(move, eps, jnp.linspace(1.0, 0.0, nfe + 1, dtype=eps.dtype))


def _scan(move, eps: Point, times: Float[Array, " points"]) -> Trajectory:
    def body(x: Point, pair: tuple[Scalar, Scalar]) -> tuple[Point, Point]:
        x = move(x, *pair)
        return x, x

    states = jax.lax.scan(body, eps, (times[:-1], times[1:]))[1]
    return jnp.concatenate([eps[None], states])


def balanced_labels(n: int, num_classes: int) -> Int[Array, " n"]:
    """Classes in turn, 0, 1, ..., 0, 1, ...: what samples are drawn of, and scored as."""
    return jnp.arange(n, dtype=jnp.int32) % num_classes


SAMPLERS = {"average_velocity": average_velocity_trajectory, "ode": heun_trajectory}
"""Sampler of each kind of method."""
