"""Array types, protocols of nets, and the time convention of all modules.

Functions below the training step take ONE example: a point of shape ``(dim,)`` and scalar times. An image is a point
too, its pixels row by row; only image nets and plots reshape it. Time runs from data (t = 0) to noise (t = 1), the path
between them is straight, and times are ordered r <= t. One step from noise to data is x0 = eps - u(eps, 0, 1).
"""

from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Key, UInt32

from toylab.cores import use_all_cores

# Here, because every module that computes with JAX imports this one, and JAX fixes its devices at first use.
use_all_cores()

AnyArray: TypeAlias = jax.Array | np.ndarray

Point = Float[AnyArray, " dim"]
Points = Float[AnyArray, "n dim"]
Scalar = Float[AnyArray, ""]
Count = Int[AnyArray, ""]
Label = Int[AnyArray, ""]
"""Class label, from 0; the number of classes is the null label."""
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
    """Shape of the data that a net is built for."""

    dim: int
    """Number of coordinates of a point."""
    image: tuple[int, int, int] | None = None
    """Height, width and channels if points are images, with pixels row by row; otherwise None."""
    num_classes: int = 0
    """Number of classes that the net is conditioned on; 0 without classes."""


@runtime_checkable
class VelocityNet(Protocol):
    """Net for the average velocity u(x, r, t): the mean of the velocity along the path from time t down to time r."""

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity over [r, t] of the path through ``x`` at time ``t``; at r = t the velocity itself."""
        ...


@runtime_checkable
class LabelledNet(Protocol):
    """Net for the average velocity of each class, and of the whole distribution."""

    def __call__(self, x: Point, r: Scalar, t: Scalar, label: Label | None = None) -> Point:
        """u(x, r, t) of the class ``label``; of the whole distribution for the null label or None."""
        ...


@runtime_checkable
class TwoHeadedNet(VelocityNet, Protocol):
    """Net with two outputs: the average velocity, and an instantaneous velocity (second head)."""

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """u(x, r, t) and the velocity of the second head at ``x``, in one forward pass."""
        ...


MIN_TIME = 1e-4
"""Smallest time that training draws: velocities of sharp distributions are unbounded at t = 0."""


def interpolate(x0: Point, eps: Point, t: Scalar) -> Point:
    """Point on the straight path at time t: x_t = (1 - t) x0 + t eps."""
    return (1 - t) * x0 + t * eps


def conditional_velocity(x0: Point, eps: Point) -> Point:
    """Velocity of the path given both ends: v_cond = d x_t / dt = eps - x0."""
    return eps - x0
