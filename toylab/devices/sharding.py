"""One run over many devices: its batch split between them, and, if asked for, what it trains as well.

Every device draws the whole batch, which is a function of the seed and the step alone, and computes the rows that are
its own: results do not depend on the number of devices but for the order of sums. Two layouts:

data     parameters on every device; one sum of gradients per step, nothing else is sent.
zero3    parameters, moving averages and moments in equal parts on the devices (Rajbhandari et al. 2020,
         rajbhandari2020zero, stage 3); each step gathers the parameters that it uses, and sums gradients into parts.

The net's parameters are one vector, so a part is a stretch of it, and the net is gathered whole, not layer by layer.
"""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from toylab.types import AnyArray

Layout = Literal["data", "zero3"]
AskedLayout = Layout | Literal["auto"]
LAYOUTS = ("auto", "data", "zero3")
AXIS = "data"
"""Of the mesh that a split run's devices form."""
PADDING = 256
"""Vectors in parts are padded to a multiple of this, so that their length is one for 1, 2, 4, ..., 256 devices."""
Tree = Any
"""A pytree of arrays."""


class Split(NamedTuple):
    """What a training step must know of the devices that share it; for one device every method is the identity.

    Args:
        count: devices.
        sharded: whether vectors of parameters are kept in parts.
    """

    count: int = 1
    sharded: bool = False

    def rows(self, tree: Tree) -> Tree:
        """This device's rows: a part of the leading axis of every array, whose size is a multiple of ``count``."""
        if self.count == 1:
            return tree

        def own(leaf: AnyArray) -> AnyArray:
            size = leaf.shape[0] // self.count
            return lax.dynamic_slice_in_dim(leaf, lax.axis_index(AXIS) * size, size)

        return jax.tree.map(own, tree)

    def whole(self, params: AnyArray) -> AnyArray:
        """A vector of parameters from its parts, with the padding at its end."""
        return lax.all_gather(params, AXIS, tiled=True) if self.sharded else params

    def summed(self, loss: AnyArray, gradient: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Sums over devices; of the gradient this device's part where parameters are kept in parts."""
        if self.count == 1 and not self.sharded:
            return loss, gradient
        if not self.sharded:
            return lax.psum((loss, gradient), AXIS)
        padded = jnp.pad(gradient, (0, padded_length(len(gradient), self.count) - len(gradient)))
        return lax.psum(loss, AXIS), lax.psum_scatter(padded, AXIS, tiled=True)

    def squared_norm(self, gradient: AnyArray) -> AnyArray:
        """|gradient|^2 of the vector that `summed` returned."""
        # A dot product, which a CPU vectorises; it may not reorder a plain sum.
        square = jnp.vdot(gradient, gradient)
        return lax.psum(square, AXIS) if self.sharded else square


ALONE = Split()


def padded_length(length: int, count: int) -> int:
    """``length`` rounded up to what ``count`` devices share evenly.

    >>> padded_length(1730, 8), padded_length(1730, 3)
    (1792, 2304)
    """
    multiple = math.lcm(PADDING, count)
    return -(-length // multiple) * multiple


def check_divisible(num_pairs: int, num_equal: int, count: int) -> None:
    """Raise ValueError where rows with r < t or rows with r = t do not divide evenly among ``count`` devices."""
    for what, size in (("r < t", num_pairs), ("r = t", num_equal)):
        if size % count:
            raise ValueError(
                f"{size} rows with {what} do not divide among {count} devices: change batch_size or p_equal"
            )
