"""A net whose parameters are one vector.

On a CPU the optimiser, the moving average and the finiteness check are then operations on one contiguous array instead
of a dozen small ones, and a checkpoint or a gradient covariance is a plain vector.
"""

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from toylab.nets.base import NetSpec
from toylab.types import AnyArray, LabelledNet, PRNGKey

Params = Float[AnyArray, " p"]
Gradients = Float[AnyArray, "batches p"]
Parts = list[AnyArray]


class FlatNet(NamedTuple):
    """A net as functions of its parameter vector.

    Differentiate with respect to the parts and join the result: the transpose of slicing a vector into parts is a sum
    of padded vectors, which took a third of a training step on a CPU.
    """

    init: Callable[[PRNGKey], Params]
    """key -> params."""
    split: Callable[[Params], Parts]
    """params -> the arrays of the net's layers."""
    join: Callable[[Parts], Params]
    """The inverse of ``split``."""
    assemble: Callable[[Parts], LabelledNet]
    """Arrays -> u(x, r, t)."""
    num_params: int

    def bind(self, params: Params) -> LabelledNet:
        """The net with these parameters."""
        return self.assemble(self.split(params))


@lru_cache(maxsize=64)
def flat_net(spec: NetSpec) -> FlatNet:
    """The net described by ``spec`` as functions of one parameter vector."""
    arrays, static = eqx.partition(eqx.filter_eval_shape(spec.build, jax.random.key(0)), _is_array_shape)
    leaves, treedef = jax.tree.flatten(arrays)
    shapes = [leaf.shape for leaf in leaves]
    ends = list(itertools.accumulate(leaf.size for leaf in leaves))

    def init(key: PRNGKey) -> Params:
        return join(jax.tree.leaves(eqx.filter(spec.build(key), eqx.is_array)))

    def split(params: Params) -> Parts:
        starts = [0, *ends[:-1]]
        return [params[i:j].reshape(shape) for i, j, shape in zip(starts, ends, shapes, strict=True)]

    def join(parts: Parts) -> Params:
        return jnp.concatenate([part.ravel() for part in parts])

    def assemble(parts: Parts) -> LabelledNet:
        return eqx.combine(jax.tree.unflatten(treedef, parts), static)

    return FlatNet(init, split, join, assemble, ends[-1])


def _is_array_shape(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
