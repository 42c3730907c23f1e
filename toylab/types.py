"""Shapes and protocols that the whole lab shares.

Everything below the training step speaks of ONE example: a point of shape ``(dim,)`` and scalar times. Time runs
from data (t = 0) to noise (t = 1), and a pair of times is ordered r <= t.
"""

from typing import Protocol

from jaxtyping import Array, Float, PRNGKeyArray

Point = Float[Array, " dim"]
Points = Float[Array, "n dim"]
Scalar = Float[Array, ""]
Matrix = Float[Array, "dim dim"]
Key = PRNGKeyArray

__all__ = ["Key", "Matrix", "Point", "Points", "Scalar", "VelocityNet"]


class VelocityNet(Protocol):
    """An average velocity u(x, r, t): the mean of the velocity along the path from time t down to time r."""

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity at the point ``x`` of time ``t``, over the interval [r, t]; at r = t the velocity itself."""
        ...
