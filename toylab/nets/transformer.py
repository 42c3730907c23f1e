"""One block of a transformer whose norms are set by a condition."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.nets.dense import Dense, xavier, zero
from toylab.types import PRNGKey

MLP_RATIO = 4
"""Hidden units of a block's perceptron per channel."""
EPSILON = 1e-6
"""Added to the variance of a norm."""

Tokens = Float[Array, "tokens width"]
Vector = Float[Array, " width"]
Heads = Float[Array, "tokens heads channels"]


class Block(eqx.Module):
    """Attention and a perceptron, each between a norm that the condition shifts and scales and a gate that it opens.

    x += g1 attention(n(x) (1 + a1) + b1);  x += g2 mlp(n(x) (1 + a2) + b2), where (b1, a1, g1, b2, a2, g2) is a linear
    function of the condition that starts at zero: at first a block is the identity ("adaLN-Zero").

    Source: Peebles and Xie 2023 (peebles2023scalable).
    """

    qkv: Dense
    projection: Dense
    widen: Dense
    narrow: Dense
    modulation: Dense
    num_heads: int = eqx.field(static=True)

    def __call__(self, tokens: Tokens, condition: Vector) -> Tokens:
        """Tokens of one example; the condition has been through its activation."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = jnp.split(self.modulation(condition), 6)
        tokens = tokens + gate * self._attention(modulated(tokens, shift, scale))
        hidden = jax.nn.gelu(self.widen(modulated(tokens, shift_mlp, scale_mlp)))
        return tokens + gate_mlp * self.narrow(hidden)

    def _attention(self, tokens: Tokens) -> Tokens:
        num_tokens, width = tokens.shape
        query, key, value = jnp.split(self.qkv(tokens), 3, axis=-1)
        heads = [part.reshape(num_tokens, self.num_heads, -1) for part in (query, key, value)]
        return self.projection(attention(*heads).reshape(num_tokens, width))


def attention(query: Heads, key: Heads, value: Heads) -> Heads:
    """softmax(q k^T / sqrt(channels)) v for each head, products summed and weights normed in no less than float32.

    Written out, since the fused kernels of accelerators have no forward derivative and every step takes one, and since
    at 64 tokens the weights are no larger than one more activation.

    Source: Vaswani et al. 2017, equation 1.
    """
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("qnc,knc->nqk", query, key, preferred_element_type=precise)
    weights = jax.nn.softmax(scores * query.shape[-1] ** -0.5).astype(value.dtype)
    return jnp.einsum("nqk,knc->qnc", weights, value)


def block(key: PRNGKey, width: int, num_heads: int) -> Block:
    """A fresh block: the identity, until its gates open."""
    keys = jax.random.split(key, 4)
    return Block(
        qkv=xavier(keys[0], width, 3 * width),
        projection=xavier(keys[1], width, width),
        widen=xavier(keys[2], width, MLP_RATIO * width),
        narrow=xavier(keys[3], MLP_RATIO * width, width),
        modulation=zero(width, 6 * width),
        num_heads=num_heads,
    )


def modulated(tokens: Tokens, shift: Vector, scale: Vector) -> Tokens:
    """n(x) (1 + scale) + shift, n(x) a token less its mean, over its standard deviation, both in float32 at least."""
    values = tokens.astype(jnp.promote_types(tokens.dtype, jnp.float32))
    centred = values - jnp.mean(values, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    normed = (centred * jax.lax.rsqrt(variance + EPSILON)).astype(tokens.dtype)
    return normed * (1 + scale) + shift
