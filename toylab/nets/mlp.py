"""The multilayer perceptron of the 2-D protocol."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.nets.embed import sinusoidal_embedding
from toylab.types import Point, PRNGKey, Scalar

ACTIVATIONS: dict[str, Callable] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


@dataclass(frozen=True)
class MLPSpec:
    """Sizes of an `MLP`: hashable, so that a compiled program can key on it."""

    dim: int
    width: int = 128
    depth: int = 3
    activation: str = "silu"
    embed_dim: int = 32
    embed_scale: float = 1.0
    output_scale: float = 1e-2

    def build(self, key: PRNGKey) -> "MLP":
        """A freshly initialised net."""
        return MLP(self, key)


class MLP(eqx.Module):
    """u(x, r, t) from [x, emb(t), emb(t) - emb(r)] through ``depth`` hidden layers of ``width`` units.

    The second embedding vanishes at r = t, where u is the instantaneous velocity. Weights start as N(0, 1/fan_in), the
    output layer's times ``output_scale``.

    Source: Lu and Wang 2026 (lu2026variance), 2-D protocol.
    """

    layers: list[eqx.nn.Linear]
    spec: MLPSpec = eqx.field(static=True)

    def __init__(self, spec: MLPSpec, key: PRNGKey):
        sizes = [spec.dim + 2 * spec.embed_dim, *[spec.width] * spec.depth, spec.dim]
        scales = [1.0] * spec.depth + [spec.output_scale]
        keys = jax.random.split(key, len(scales))
        self.layers = [
            _linear(*arguments) for arguments in zip(keys, sizes[:-1], sizes[1:], scales, strict=True)
        ]
        self.spec = spec

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity at one point ``x`` of time ``t`` over [r, t]."""
        spec = self.spec
        later = sinusoidal_embedding(t, spec.embed_dim, spec.embed_scale)
        earlier = sinusoidal_embedding(r, spec.embed_dim, spec.embed_scale)
        hidden = jnp.concatenate([x, later, later - earlier])
        for layer in self.layers[:-1]:
            hidden = ACTIVATIONS[spec.activation](layer(hidden))
        return self.layers[-1](hidden)


def _linear(key: PRNGKey, fan_in: int, fan_out: int, scale: float) -> eqx.nn.Linear:
    layer = eqx.nn.Linear(fan_in, fan_out, key=key)
    weight = scale * jax.random.normal(key, (fan_out, fan_in)) / jnp.sqrt(fan_in)
    return eqx.tree_at(lambda node: (node.weight, node.bias), layer, (weight, jnp.zeros(fan_out)))
