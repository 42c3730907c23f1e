"""A shuffled order that is never stored: where a row stands in its epoch is computed from its number alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Int, UInt32

from toylab.data.base import Place
from toylab.types import AnyArray, PRNGKey

ROUNDS = 6
"""Of the Feistel network; four are the least that look random, and all cost next to nothing."""


def shuffled_rows(place: Place, n: int, size: int) -> Int[AnyArray, " n"]:
    """Rows of batch ``place.step``: numbers step * n .. step * n + n - 1 of an endless stream, each epoch of ``size``
    rows a permutation of its own.

    Nothing but the step is needed to resume, and any part of a batch can be computed anywhere.

    Args:
        place: key of the stream and number of the batch.
        n: rows of a batch; static.
        size: rows of the data; the stream is of fewer than 2^32.
    """
    numbers = place.step.astype(jnp.uint32) * jnp.uint32(n) + jnp.arange(n, dtype=jnp.uint32)
    epochs, rows = jnp.divmod(numbers, jnp.uint32(size))

    def row(epoch, index):
        return permuted(jax.random.fold_in(place.key, epoch), index, size)

    return jax.vmap(row)(epochs, rows).astype(jnp.int32)


def permuted(key: PRNGKey, index: UInt32[AnyArray, ""], size: int) -> UInt32[AnyArray, ""]:
    """pi(index) for a permutation pi of 0 .. size - 1 that ``key`` chooses.

    A Feistel network permutes the numbers of 2 b bits, the fewest that hold ``size``; what falls outside is permuted
    again until it does not ("cycle walking"), which leaves a permutation of the rest.

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
    """A number in which every bit depends on all bits of ``value``: multiply by odd constants, fold the upper half."""
    for constant in (0x9E3779B1, 0x85EBCA77):
        value = value * jnp.uint32(constant)
        value = value ^ (value >> 15)
    return value
