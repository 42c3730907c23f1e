"""Weights of the in-repo classifiers: one npz and one card each, believed only if the digest agrees. No pickle."""

import hashlib
import io
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from toylab.features.classifier import Classifier, ClassifierSpec
from toylab.storage.atomic import atomic_write_bytes, atomic_write_json
from toylab.storage.untrusted import one_line, read_bytes, read_json, read_layout

FOLDER = Path(__file__).parent / "weights"
MAX_BYTES = 2**20
"""Of a file of weights: they travel with the package."""


class Card(NamedTuple):
    """What is known of a trained classifier.

    Args:
        sha256: of its npz.
        accuracy: share of held-out images labelled right.
        num_test: how many those are.
        num_params: of the net.
        command: that made it.
        made_with: machine and versions of that.
    """

    sha256: str
    accuracy: float
    num_test: int
    num_params: int
    command: str
    made_with: dict[str, Any]


def load_weights(name: str, spec: ClassifierSpec, folder: Path = FOLDER) -> tuple[Classifier, Card]:
    """The classifier ``name`` and its card.

    Raises:
        ValueError: files missing, damaged, or not those that the card speaks of; one line that says how to get them.
    """
    path = folder / f"{name}.npz"
    remedy = f"reinstall toylab, or run: python scripts/make_feature_nets.py {name}"
    try:
        card = Card(**read_json(path.with_suffix(".json"), MAX_BYTES))
        content = read_bytes(path, MAX_BYTES)
        if (found := hashlib.sha256(content).hexdigest()) != card.sha256:
            raise ValueError(f"damaged, its SHA-256 is {found[:12]}..., not {str(card.sha256)[:12]}...")
        shapes, static = eqx.partition(_shapes(spec), lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        layout = {_name(place): leaf.shape for place, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
        arrays = read_layout(content, layout, max_bytes=MAX_BYTES)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: {one_line(error)}; {remedy}") from None
    filled = jax.tree_util.tree_map_with_path(lambda place, _: jnp.asarray(arrays[_name(place)]), shapes)
    return eqx.combine(filled, static), card


def write_weights(name: str, net: Classifier, facts: dict[str, Any], folder: Path = FOLDER) -> Card:
    """Write the npz of ``net`` and its card; ``facts`` are the fields of `Card` that the file does not tell.

    Raises:
        ValueError: more than 1 MB.
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(net, eqx.is_array))
    arrays = {_name(place): np.asarray(leaf, np.float32) for place, leaf in leaves}
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # the zip carries no date: equal weights are equal bytes
    content = stream.getvalue()
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} has {len(content)} bytes, at most {MAX_BYTES} travel with the package")
    num_params = sum(array.size for array in arrays.values())
    card = Card(sha256=hashlib.sha256(content).hexdigest(), num_params=num_params, **facts)
    atomic_write_bytes(folder / f"{name}.npz", content)
    atomic_write_json(folder / f"{name}.json", card._asdict())
    return card


def _shapes(spec: ClassifierSpec) -> Classifier:
    return eqx.filter_eval_shape(spec.build, jax.random.key(0))


def _name(place: tuple) -> str:
    return jax.tree_util.keystr(place, simple=True, separator=".")
