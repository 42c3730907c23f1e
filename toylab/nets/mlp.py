"""The multilayer perceptron of the 2-D protocol."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.nets.base import check_dtype, in_precision, nets, sinusoidal_embedding
from toylab.types import DataShape, Label, Point, PRNGKey, Scalar

ACTIVATIONS: dict[str, Callable] = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


@dataclass(frozen=True)
class MLPSpec:
    """Description of an `MLP`; hashable, since compiled programs are cached by it."""

    dim: int
    width: int = 128
    depth: int = 3
    activation: str = "silu"
    embed_dim: int = 32
    embed_scale: float = 1.0
    output_scale: float = 1e-2
    velocity_head: bool = False
    """A second output, the velocity at x: see `MLP.with_velocity`."""
    num_classes: int = 0
    """Classes that the net is conditioned on: one input for each, and one for the null label."""
    encoder_depth: int = 0
    """Number of first hidden layers that receive t only; the others receive r too. 0: all receive both. -k: all but
    the last k."""
    dtype: str = "float32"
    """Precision of the layers; parameters, embeddings of times and outputs are float32 in any case."""

    def __post_init__(self) -> None:
        if not 1 - self.depth <= self.encoder_depth < self.depth:
            raise ValueError(
                f"encoder_depth of a net with {self.depth} hidden layers must lie in [{1 - self.depth}, "
                f"{self.depth - 1}], got {self.encoder_depth}"
            )
        if self.encoder_depth < 0:  # one description per net, since compiled programs are cached by it
            object.__setattr__(self, "encoder_depth", self.depth + self.encoder_depth)

    @property
    def widest(self) -> int:
        """The hidden layer."""
        return self.width

    @property
    def num_activations(self) -> int:
        """Values and tangents of every layer, and as many again for their derivative."""
        return 4 * self.width * self.depth

    def unrolled(self) -> "MLPSpec":
        """Itself: an MLP has no loops."""
        return self

    def build(self, key: PRNGKey) -> "MLP":
        """A freshly initialised net."""
        return MLP(self, key)


@nets.register("mlp", citation="lu2026variance")
def mlp(
    data: DataShape,
    width: int = 128,
    depth: int = 3,
    activation: str = "silu",
    embed_dim: int = 32,
    embed_scale: float = 1.0,
    output_scale: float = 1e-2,
    velocity_head: bool = False,
    encoder_depth: int = 0,
    dtype: str = "float32",
) -> MLPSpec:
    """A multilayer perceptron of a point and two times, its layers computed in float32, bfloat16 or float16."""
    check_dtype("mlp", dtype)
    return MLPSpec(
        dim=data.dim,
        width=width,
        depth=depth,
        activation=activation,
        embed_dim=embed_dim,
        embed_scale=embed_scale,
        output_scale=output_scale,
        velocity_head=velocity_head,
        num_classes=data.num_classes,
        encoder_depth=encoder_depth,
        dtype=dtype,
    )


class MLP(eqx.Module):
    """u(x, r, t) from [x, emb(t), emb(t) - emb(r)] through ``depth`` hidden layers of ``width`` units.

    With classes there is one more input for each of them, and one for the null label. The second embedding vanishes at
    r = t, where u is the instantaneous velocity. Weights start as N(0, 1/fan_in), those of the output layer multiplied
    by ``output_scale``.

    Source: Lu and Wang 2026 (lu2026variance), 2-D protocol.
    """

    layers: list[eqx.nn.Linear]
    spec: MLPSpec = eqx.field(static=True)

    def __init__(self, spec: MLPSpec, key: PRNGKey):
        num_outputs = spec.dim * (2 if spec.velocity_head else 1)
        fans_in = [spec.dim + 2 * spec.embed_dim, *[spec.width] * spec.depth]
        if spec.num_classes:
            fans_in[0] += spec.num_classes + 1
        if spec.encoder_depth:  # the later time enters with x, the gap with the features of the encoder
            fans_in[0] -= spec.embed_dim
            fans_in[spec.encoder_depth] += spec.embed_dim
        fans_out = [*[spec.width] * spec.depth, num_outputs]
        scales = [1.0] * spec.depth + [spec.output_scale]
        keys = jax.random.split(key, len(scales))
        self.layers = [_linear(*arguments) for arguments in zip(keys, fans_in, fans_out, scales, strict=True)]
        self.spec = spec

    def __call__(self, x: Point, r: Scalar, t: Scalar, label: Label | None = None) -> Point:
        """Average velocity at one point ``x`` of time ``t`` over [r, t]; with classes, that of ``label``."""
        return self._outputs(x, r, t, label)[: self.spec.dim]

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """The average velocity and the second head's velocity at ``x``, in one pass.

        Raises:
            ValueError: the net has no second head.
        """
        if not self.spec.velocity_head:
            raise ValueError("this net has one head; build it with velocity_head=True")
        outputs = self._outputs(x, r, t, label)
        return outputs[: self.spec.dim], outputs[self.spec.dim :]

    def _outputs(self, x: Point, r: Scalar, t: Scalar, label: Label | None) -> Float[Array, " outputs"]:
        spec = self.spec
        if spec.num_classes:
            told = spec.num_classes if label is None else label
            x = jnp.concatenate([x, jax.nn.one_hot(told, spec.num_classes + 1, dtype=x.dtype)])
        later = sinusoidal_embedding(t, spec.embed_dim, spec.embed_scale)
        earlier = sinusoidal_embedding(r, spec.embed_dim, spec.embed_scale)
        inputs = [x, later] if spec.encoder_depth else [x, later, later - earlier]
        hidden = in_precision(jnp.concatenate(inputs), spec.dtype)
        *layers, output = in_precision(self.layers, spec.dtype)
        for index, layer in enumerate(layers):
            if index and index == spec.encoder_depth:
                hidden = jnp.concatenate([hidden, in_precision(later - earlier, spec.dtype)])
            hidden = ACTIVATIONS[spec.activation](layer(hidden))
        outputs = output(hidden)
        return outputs.astype(jnp.promote_types(outputs.dtype, x.dtype))


def _linear(key: PRNGKey, fan_in: int, fan_out: int, scale: float) -> eqx.nn.Linear:
    # Only the shape of the layer: its own initial weights are never drawn, so that the key is used once.
    layer = eqx.filter_eval_shape(eqx.nn.Linear, fan_in, fan_out, key=key)
    weight = scale * jax.random.normal(key, (fan_out, fan_in)) / jnp.sqrt(fan_in)
    return eqx.tree_at(lambda node: (node.weight, node.bias), layer, (weight, jnp.zeros(fan_out)))
