"""Methods: published training objectives as losses of one example. One file each.

They stand on their own: any callable ``net(x, r, t) -> u`` of one example will do, in any JAX training loop.

>>> import jax, jax.numpy as jnp
>>> from toylab.methods import Context, Example, methods
>>> net = lambda x, r, t: x * (t - r)
>>> example = Example(jnp.ones(3), jnp.zeros(3), jnp.array(0.2), jnp.array(0.7), jnp.zeros(0))
>>> loss = methods.create("meanflow").pair_loss(example, Context(net, net), beta=jnp.array(1.0))
>>> loss.shape
()
"""

from toylab.methods.base import (
    AbstractMethod,
    AbstractTwoStageMethod,
    Beta,
    Confidence,
    Example,
    Part,
    methods,
)
from toylab.proxies import Context

__all__ = [
    "AbstractMethod",
    "AbstractTwoStageMethod",
    "Beta",
    "Confidence",
    "Context",
    "Example",
    "Part",
    "methods",
]
