"""From noise to data: steps of the average velocity, or an ODE solver on the instantaneous velocity."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.types import Point, Scalar, VelocityNet

Trajectory = Float[Array, "points dim"]


def average_velocity_trajectory(net: VelocityNet, eps: Point, nfe: int) -> Trajectory:
    """The states x_{t_0} = eps, ..., x_{t_n} = x0 of ``nfe`` equal steps x_r = x_t - (t - r) u(x_t, r, t)."""

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        return x - (t - r) * net(x, r, t)

    return _scan_times(move, eps, nfe)


def euler_trajectory(net: VelocityNet, eps: Point, nfe: int) -> Trajectory:
    """``nfe`` Euler steps of dx/dt = u(x, t, t) from t = 1 to t = 0."""

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        return x - (t - r) * net(x, t, t)

    return _scan_times(move, eps, nfe)


def heun_trajectory(net: VelocityNet, eps: Point, num_steps: int) -> Trajectory:
    """``num_steps`` Heun steps (two evaluations each, second order) of dx/dt = u(x, t, t) from t = 1 to t = 0."""

    def move(x: Point, t: Scalar, r: Scalar) -> Point:
        first = net(x, t, t)
        second = net(x - (t - r) * first, r, r)
        return x - (t - r) * (first + second) / 2

    return _scan_times(move, eps, num_steps)


def _scan_times(move, eps: Point, nfe: int) -> Trajectory:
    times = jnp.linspace(1.0, 0.0, nfe + 1, dtype=eps.dtype)

    def body(x: Point, pair: tuple[Scalar, Scalar]) -> tuple[Point, Point]:
        x = move(x, *pair)
        return x, x

    states = jax.lax.scan(body, eps, (times[:-1], times[1:]))[1]
    return jnp.concatenate([eps[None], states])


SAMPLERS = {"average_velocity": average_velocity_trajectory, "ode": euler_trajectory}
"""Sampler of each kind of method."""
