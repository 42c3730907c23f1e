"""The multilayer perceptron of the 2-D protocol."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
    velocity_head: bool = False
    """A second output, the velocity at x: see `MLP.with_velocity`."""
    encoder_depth: int = 0
    """Hidden layers that see t alone; the rest see r as well. 0: every layer sees both; -k: all but the last k."""

    def __post_init__(self) -> None:
        if not 1 - self.depth <= self.encoder_depth < self.depth:
            raise ValueError(
                f"encoder_depth of a net with {self.depth} hidden layers must lie in [{1 - self.depth}, "
                f"{self.depth - 1}], got {self.encoder_depth}"
            )
        if self.encoder_depth < 0:  # one spelling for one net: compiled programs key on it
            object.__setattr__(self, "encoder_depth", self.depth + self.encoder_depth)

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
        num_outputs = spec.dim * (2 if spec.velocity_head else 1)
        fans_in = [spec.dim + 2 * spec.embed_dim, *[spec.width] * spec.depth]
        if spec.encoder_depth:  # the later time enters with x, the gap with the features of the encoder
            fans_in[0] -= spec.embed_dim
            fans_in[spec.encoder_depth] += spec.embed_dim
        fans_out = [*[spec.width] * spec.depth, num_outputs]
        scales = [1.0] * spec.depth + [spec.output_scale]
        keys = jax.random.split(key, len(scales))
        self.layers = [_linear(*arguments) for arguments in zip(keys, fans_in, fans_out, scales, strict=True)]
        self.spec = spec

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity at one point ``x`` of time ``t`` over [r, t]."""
        return self._outputs(x, r, t)[: self.spec.dim]

    def with_velocity(self, x: Point, r: Scalar, t: Scalar) -> tuple[Point, Point]:
        """The average velocity and the second head's velocity at ``x``, in one pass.

        Raises:
            ValueError: the net has no second head.
        """
        if not self.spec.velocity_head:
            raise ValueError("this net has one head; build it with velocity_head=True")
        outputs = self._outputs(x, r, t)
        return outputs[: self.spec.dim], outputs[self.spec.dim :]

    def _outputs(self, x: Point, r: Scalar, t: Scalar) -> Float[Array, " outputs"]:
        spec = self.spec
        later = sinusoidal_embedding(t, spec.embed_dim, spec.embed_scale)
        earlier = sinusoidal_embedding(r, spec.embed_dim, spec.embed_scale)
        if spec.encoder_depth:
            hidden = jnp.concatenate([x, later])
        else:
            hidden = jnp.concatenate([x, later, later - earlier])
        for index, layer in enumerate(self.layers[:-1]):
            if index and index == spec.encoder_depth:
                hidden = jnp.concatenate([hidden, later - earlier])
            hidden = ACTIVATIONS[spec.activation](layer(hidden))
        return self.layers[-1](hidden)


def _linear(key: PRNGKey, fan_in: int, fan_out: int, scale: float) -> eqx.nn.Linear:
    # The layer's own weights are never drawn: the key has one use.
    layer = eqx.filter_eval_shape(eqx.nn.Linear, fan_in, fan_out, key=key)
    weight = scale * jax.random.normal(key, (fan_out, fan_in)) / jnp.sqrt(fan_in)
    return eqx.tree_at(lambda node: (node.weight, node.bias), layer, (weight, jnp.zeros(fan_out)))
