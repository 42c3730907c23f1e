"""A shuffled order that is not stored: the position of a row in its epoch is a function of its number alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Int, UInt32

from toylab.data.base import Place
from toylab.types import AnyArray, PRNGKey

# Rounds of the Feistel network. Four are the minimum for a pseudorandom permutation; six cost next to nothing.
ROUNDS = 6


def shuffled_rows(place: Place, n: int, size: int) -> Int[AnyArray, " n"]:
    """Rows of batch ``place.step``: numbers step * n .. step * n + n - 1 of an endless stream, each epoch of ``size``
    rows a permutation of its own.

    A run resumes from the step number alone, and every process can compute any part of a batch.

    Args:
        place: key of the stream and number of the batch.
        n: rows of a batch; static.
        size: rows of the data; the stream has fewer than 2^32 rows.
    """
    numbers = place.step.astype(jnp.uint32) * jnp.uint32(n) + jnp.arange(n, dtype=jnp.uint32)
    epochs, rows = jnp.divmod(numbers, jnp.uint32(size))

    def row(epoch, index):
        return permuted(jax.random.fold_in(place.key, epoch), index, size)

    return jax.vmap(row)(epochs, rows).astype(jnp.int32)


def permuted(key: PRNGKey, index: UInt32[AnyArray, ""], size: int) -> UInt32[AnyArray, ""]:
    """pi(index) for a permutation pi of 0 .. size - 1 that ``key`` chooses.

    A Feistel network permutes the numbers of 2 b bits, with the smallest b that covers ``size``. A result of ``size``
    or more is permuted again until it is smaller ("cycle walking"), which gives a permutation of 0 .. size - 1.

    Source: Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains (black2002ciphers).
    """
    half_bits = max(1, -(-(size - 1).bit_length() // 2))
    mask = jnp.uint32(2**half_bits - 1)
    round_keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def network(value):
        left, right = value >> half_bits, value & mask
        for round_key in round_keys:
            left, right = right, left ^ (_mixed(right ^ round_key) & mask)
        return (left << half_bits) | right

    return jax.lax.while_loop(lambda value: value >= size, network, network(index.astype(jnp.uint32)))


def _mixed(value: UInt32[AnyArray, ""]) -> UInt32[AnyArray, ""]:
    """A hash of ``value`` in which every bit depends on all of its bits: odd multipliers, upper half folded."""
    for constant in (0x9E3779B1, 0x85EBCA77):
        value = value * jnp.uint32(constant)
        value = value ^ (value >> 15)
    return value
