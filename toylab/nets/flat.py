"""A net whose parameters are one vector.

On a CPU the optimiser, the moving average and the finiteness check then run over one contiguous array instead of a
dozen small ones, and a checkpoint or a gradient covariance is a plain vector.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from toylab.types import AnyArray, PRNGKey, VelocityNet

Params = Float[AnyArray, " p"]
Gradients = Float[AnyArray, "batches p"]


@runtime_checkable
class NetSpec(Protocol):
    """A hashable description that can build a net."""

    def build(self, key: PRNGKey) -> eqx.Module:
        """A freshly initialised net."""
        ...


class FlatNet(NamedTuple):
    """``init(key) -> params``, ``bind(params) -> u(x, r, t)`` and the number of parameters."""

    init: Callable[[PRNGKey], Params]
    bind: Callable[[Params], VelocityNet]
    num_params: int


@lru_cache(maxsize=64)
def flat_net(spec: NetSpec) -> FlatNet:
    """The net described by ``spec`` as functions of one parameter vector."""
    arrays, static = eqx.partition(eqx.filter_eval_shape(spec.build, jax.random.key(0)), _is_array_shape)
    leaves, treedef = jax.tree.flatten(arrays)
    sizes = [leaf.size for leaf in leaves]

    def init(key: PRNGKey) -> Params:
        return ravel_pytree(eqx.filter(spec.build(key), eqx.is_array))[0]

    def bind(params: Params) -> VelocityNet:
        parts, start = [], 0
        for leaf, size in zip(leaves, sizes, strict=True):
            parts.append(params[start : start + size].reshape(leaf.shape))
            start += size
        return eqx.combine(jax.tree.unflatten(treedef, parts), static)

    return FlatNet(init, bind, sum(sizes))


def _is_array_shape(leaf: object) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
