"""What every net shares: its description, the registry, the embedding of time, precision, and labels."""

from typing import Protocol, TypeVar, cast, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.registry import Registry
from toylab.types import Label, LabelledNet, Point, PRNGKey, Scalar, TwoHeadedNet

Tree = TypeVar("Tree")

# Largest period of the embedding in radians: the slowest frequency is 1 / MAX_PERIOD.
MAX_PERIOD = 1e4

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""Precisions of a net's layers by name; None is that of the input, which is float32 in training.

Parameters, times and outputs are float32 in any case. No loss is scaled: in float16 a value above 65504 is infinite and
one below 6e-8 is 0.
"""


@runtime_checkable
class NetSpec(Protocol):
    """Description of a net: hashable, since compiled programs are cached by it."""

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        ...

    @property
    def num_classes(self) -> int:
        """Number of classes that the net is conditioned on; 0: it takes no label."""
        ...

    @property
    def widest(self) -> int:
        """Largest number of values of one example that a forward pass holds at once, for memory estimates."""
        ...

    @property
    def num_activations(self) -> int:
        """Approximate number of values of one example that a pass keeps for its derivative."""
        ...

    def unrolled(self) -> "NetSpec":
        """The same net without loops, for cost counts: XLA counts the operations of a loop body once."""
        ...

    def build(self, key: PRNGKey) -> eqx.Module:
        """A freshly initialised net."""
        ...


nets: Registry[NetSpec] = Registry("net", "toylab.nets")
"""Nets by name. Each entry is a function of a `DataShape` called ``data``, of settings that are named after fields of
`RunConfig`, and of options of its own; it returns a `NetSpec`. Methods pass ``velocity_head`` and ``encoder_depth``."""


def sinusoidal_embedding(time: Scalar, dim: int, scale: float = 1.0) -> Float[Array, " dim"]:
    """[sin(w_i s), cos(w_i s)] with s = scale * time and w_i = 10^(-8 i / dim), i = 0 .. dim/2 - 1.

    The derivative in time reuses the sines and cosines of the value: every training step evaluates the embedding with
    its tangent, and on a CPU new sines and cosines are a measurable part of it.

    Args:
        time: a time in [0, 1].
        dim: even size of the embedding.
        scale: factor on time; image nets often use 1000.

    Source: Vaswani et al. 2017, section 3.5, with the half-split layout of diffusion code.
    """
    frequencies = np.exp(-np.log(MAX_PERIOD) * np.arange(dim // 2) / (dim // 2)) * scale
    rates = np.concatenate([frequencies, -frequencies])

    @jax.custom_jvp
    def embed(time):
        angle = time * frequencies.astype(time.dtype)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])

    @embed.defjvp
    def _(primals, tangents):
        value = embed(*primals)
        swapped = jnp.concatenate([value[dim // 2 :], value[: dim // 2]])
        return value, rates.astype(value.dtype) * swapped * tangents[0]

    return embed(time)


def check_dtype(net: str, dtype: str) -> None:
    """Raise ValueError if ``dtype`` is unknown; the message names the net called ``net`` and the choices."""
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r} of net {net!r}; choices: {', '.join(DTYPES)}")


def in_precision(tree: Tree, dtype: str) -> Tree:
    """A layer or a vector with its arrays cast to ``dtype``; gradients pass the cast and arrive in float32."""
    chosen = DTYPES[dtype]
    return tree if chosen is None else jax.tree.map(lambda leaf: leaf.astype(chosen), tree)


class OfClass(eqx.Module):
    """u(x, r, t) of one class: what methods, proxies and samplers receive, so that they need no labels.

    Args:
        net: the net of all classes.
        label: the class; the number of classes is the null label, which stands for all of them together.
    """

    net: LabelledNet
    label: Label

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity of the class."""
        return self.net(x, r, t, self.label)

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """The average velocity and the second head's velocity, of the class; ``label`` is ignored."""
        return cast(TwoHeadedNet, self.net).with_velocity(x, r, t, self.label)


class Guided(eqx.Module):
    """Classifier-free guidance: u_all + scale (u_class - u_all), with two evaluations of the net.

    Source: Ho and Salimans 2022 (ho2022classifier), on the average velocity.
    """

    net: LabelledNet
    label: Label
    scale: Scalar

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """The guided average velocity."""
        of_all = self.net(x, r, t)
        return of_all + self.scale * (self.net(x, r, t, self.label) - of_all)
