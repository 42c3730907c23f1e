"""Data-parallel and ZeRO-3 sharding of one run.

Every device draws the whole batch, which is a function of the seed and the step alone, and computes its own rows:
results depend on the number of devices only through the order of sums. Two layouts:

data     parameters on every device; each step sums the gradients, and sends nothing else.
zero3    parameters, moving averages and moments sharded evenly over the devices (Rajbhandari et al. 2020,
         rajbhandari2020zero, stage 3); each step gathers the parameters that it uses, and sums gradients into shards.

The net's parameters are one vector, so a shard is an interval of it, and the net is gathered whole, not layer by layer.
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
"""Name of the axis of the mesh of devices."""
PADDING = 256
"""Sharded vectors are padded to a multiple of this, so that their length is the same for 1, 2, 4, ..., 256 devices."""
Tree = Any
"""A pytree of arrays."""


class Split(NamedTuple):
    """Part of one device in a training step that several share; on one device every method is the identity.

    Args:
        count: number of devices.
        sharded: whether vectors of parameters are sharded.
    """

    count: int = 1
    sharded: bool = False

    def rows(self, tree: Tree) -> Tree:
        """This device's rows: an interval of the leading axis of every array, whose size is a multiple of ``count``."""
        if self.count == 1:
            return tree

        def own(leaf: AnyArray) -> AnyArray:
            size = leaf.shape[0] // self.count
            return lax.dynamic_slice_in_dim(leaf, lax.axis_index(AXIS) * size, size)

        return jax.tree.map(own, tree)

    def whole(self, params: AnyArray) -> AnyArray:
        """A vector of parameters from its shards, with the padding at its end."""
        return lax.all_gather(params, AXIS, tiled=True) if self.sharded else params

    def summed(self, loss: AnyArray, gradient: AnyArray) -> tuple[AnyArray, AnyArray]:
        """Sums over devices; of the gradient only this device's shard where parameters are sharded."""
        if self.count == 1 and not self.sharded:
            return loss, gradient
        if not self.sharded:
            return lax.psum(
                (loss, gradient), AXIS
            )  # the loss of each device is a share of the mean: see `batch_loss`
        padded = jnp.pad(gradient, (0, padded_length(len(gradient), self.count) - len(gradient)))
        return lax.psum(loss, AXIS), lax.psum_scatter(padded, AXIS, tiled=True)

    def squared_norm(self, gradient: AnyArray) -> AnyArray:
        """|gradient|^2 of the vector that `summed` returned."""
        # A dot product, which XLA vectorises on a CPU; a plain sum of squares keeps its order and runs one by one.
        square = jnp.vdot(gradient, gradient)
        return lax.psum(square, AXIS) if self.sharded else square


ALONE = Split()


def padded_length(length: int, count: int) -> int:
    """``length`` rounded up to a multiple of ``PADDING`` that divides evenly among ``count`` devices.

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
