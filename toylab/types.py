"""Shapes, protocols and the time convention that the whole lab shares.

Everything below the training step speaks of ONE example: a point of shape ``(dim,)`` and scalar times. An image is
such a point too, its pixels row by row: only the net that looks at it, and what draws it, fold it. Time runs from
data (t = 0) to noise (t = 1), the path between them is straight, and a pair of times is ordered r <= t: one step from
noise to data is x0 = eps - u(eps, 0, 1).
"""

from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Key, UInt32

from toylab.cores import use_all_cores

use_all_cores()  # here: all of toylab that computes with JAX imports this module, and devices are fixed at first use

AnyArray: TypeAlias = jax.Array | np.ndarray

Point = Float[AnyArray, " dim"]
Points = Float[AnyArray, "n dim"]
Scalar = Float[AnyArray, ""]
Count = Int[AnyArray, ""]
Label = Int[AnyArray, ""]
"""A class, from 0; the number of classes itself stands for no class."""
Labels = Int[AnyArray, " n"]
Flag = Bool[AnyArray | np.bool_, ""]
Matrix = Float[AnyArray, "dim dim"]
Pairs = Float[AnyArray, "n 2 dim"]
"""Rows (x0, eps)."""
PRNGKey = Key[jax.Array, "..."] | UInt32[jax.Array, "..."]

__all__ = [
    "MIN_TIME",
    "AnyArray",
    "Count",
    "DataShape",
    "Flag",
    "Label",
    "LabelledNet",
    "Labels",
    "Matrix",
    "PRNGKey",
    "Pairs",
    "Point",
    "Points",
    "Scalar",
    "TwoHeadedNet",
    "VelocityNet",
    "conditional_velocity",
    "interpolate",
]


class DataShape(NamedTuple):
    """What a net must know of its data."""

    dim: int
    """Coordinates of a point."""
    image: tuple[int, int, int] | None = None
    """Height, width and channels where points are images: their pixels, row by row."""
    num_classes: int = 0
    """Classes that the net is told of; 0 where there are none."""


@runtime_checkable
class VelocityNet(Protocol):
    """An average velocity u(x, r, t): the mean of the velocity along the path from time t down to time r."""

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity at the point ``x`` of time ``t``, over the interval [r, t]; at r = t the velocity itself."""
        ...


@runtime_checkable
class LabelledNet(Protocol):
    """An average velocity for each class, and one for all of them together."""

    def __call__(self, x: Point, r: Scalar, t: Scalar, label: Label | None = None) -> Point:
        """u(x, r, t) of the class ``label``; of the whole distribution where that is the null label or None."""
        ...


@runtime_checkable
class TwoHeadedNet(VelocityNet, Protocol):
    """An average velocity with a second output, a velocity of its own."""

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """u(x, r, t) and the second head's velocity at ``x``, in one pass."""
        ...


MIN_TIME = 1e-4
"""Closest approach to data: sharp distributions have unbounded velocities at t = 0."""


def interpolate(x0: Point, eps: Point, t: Scalar) -> Point:
    """Point on the path, x_t = (1 - t) x0 + t eps."""
    return (1 - t) * x0 + t * eps


def conditional_velocity(x0: Point, eps: Point) -> Point:
    """Velocity of the path given both ends, v_cond = d x_t / dt = eps - x0."""
    return eps - x0
