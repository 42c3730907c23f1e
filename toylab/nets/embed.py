"""Sinusoidal embedding of time."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.types import Scalar

MAX_PERIOD = 1e4


def sinusoidal_embedding(time: Scalar, dim: int, scale: float = 1.0) -> Float[Array, " dim"]:
    """[sin(w_i s), cos(w_i s)] with s = scale * time and w_i = 10^(-8 i / dim), i = 0 .. dim/2 - 1.

    The derivative in time reuses the sines and cosines of the value (they swap places), which matters on a CPU: the
    embedding is evaluated with its tangent in every training step.

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
