"""The precision that a net computes in; parameters, times and what leaves the net are float32 whatever it is."""

from typing import TypeVar

import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
"""Precisions by name; None is that of the input, which is float32 in training. Nothing scales a loss: what float16
cannot hold, above 65504 or below 6e-8, is infinite or 0."""


def check_dtype(net: str, dtype: str) -> None:
    """Raise ValueError where ``dtype`` is no precision of the net called ``net``; the message names the choices."""
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r} of net {net!r}; choices: {', '.join(DTYPES)}")


def in_precision(tree: Tree, dtype: str) -> Tree:
    """A layer, or a vector, with its arrays in that precision; gradients pass, so that masters stay as they were."""
    chosen = DTYPES[dtype]
    return tree if chosen is None else jax.tree.map(lambda leaf: leaf.astype(chosen), tree)
