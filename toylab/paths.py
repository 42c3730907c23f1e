"""THE time convention: t = 0 is data, t = 1 is noise, and the path between them is straight.

One step from noise to data is x0 = eps - u(eps, 0, 1).
"""

from toylab.types import Point, Scalar

MIN_TIME = 1e-4
"""Closest approach to data: sharp distributions have unbounded velocities at t = 0."""


def interpolate(x0: Point, eps: Point, t: Scalar) -> Point:
    """Point on the path, x_t = (1 - t) x0 + t eps."""
    return (1 - t) * x0 + t * eps


def conditional_velocity(x0: Point, eps: Point) -> Point:
    """Velocity of the path given both ends, v_cond = d x_t / dt = eps - x0."""
    return eps - x0
