"""Save and restore a tree of arrays with Orbax, which needs no pickle and supports sharded states."""

from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

Tree = TypeVar("Tree")


def save_tree(path: Path, tree: object) -> None:
    """Write the arrays of ``tree`` to the new folder ``path``; returns when they are on disk."""
    with _checkpointer() as checkpointer:
        checkpointer.save(path.absolute(), tree)


def restore_tree(path: Path, like: Tree) -> Tree:
    """The tree saved at ``path``, as numpy arrays with the structure, shapes and dtypes of ``like``.

    The content is not verified here: `RunFolder.check_checkpoint` compares it with its SHA-256 first.

    Raises:
        ValueError: the folder is missing, damaged or holds other arrays; one line that names it.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    if not path.is_dir():
        raise ValueError(f"no checkpoint at {path}")
    try:
        with _checkpointer() as checkpointer:
            # Compare shapes first: a restore that fails half way leaves threads behind that print to stderr.
            _check_shapes(checkpointer.metadata(path.absolute()).item_metadata.tree, like)
            restored = checkpointer.restore(path.absolute(), shapes)
    # Orbax and its storage layer raise exceptions of many types for a damaged folder.
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise ValueError(f"unreadable checkpoint at {path}: {reason}") from error
    return jax.tree.map(np.asarray, restored)


def _checkpointer():
    """An Orbax checkpointer for this process alone; otherwise every process of the run would have to join each save."""
    # Orbax takes 0.7 s to import, and most commands read or write no checkpoint.
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _check_shapes(saved: Any, like: Any) -> None:
    """Raise ValueError where a saved array differs from ``like`` in name, shape or dtype."""
    found = {leaf.name: (tuple(leaf.shape), str(leaf.dtype)) for leaf in jax.tree.leaves(saved)}
    wanted = {
        jax.tree_util.keystr(place, simple=True, separator="."): (tuple(leaf.shape), str(leaf.dtype))
        for place, leaf in jax.tree_util.tree_leaves_with_path(like)
    }
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"{name} is {_described(found.get(name))}, the settings require {_described(wanted.get(name))}"
            )


def _described(array: tuple[tuple[int, ...], str] | None) -> str:
    return "missing" if array is None else f"{array[1]} {list(array[0])}"
