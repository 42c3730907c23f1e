"""Save and restore a tree of arrays with Orbax: no pickle, and ready for sharded states."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

Tree = TypeVar("Tree")


def save_tree(path: Path, tree: object) -> None:
    """Write the arrays of ``tree`` to the new folder ``path``; returns once they are on disk."""
    import orbax.checkpoint as ocp  # takes most of a second to import: only those pay who save

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), tree)


def restore_tree(path: Path, like: Tree) -> Tree:
    """The tree saved at ``path``, as numpy arrays with the structure, shapes and dtypes of ``like``.

    Raises:
        ValueError: the folder is missing, damaged or holds another structure; one line that names it.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    if not path.is_dir():
        raise ValueError(f"no checkpoint at {path}")
    hook = sys.unraisablehook
    sys.unraisablehook = _LateReaders(hook)
    logging.getLogger("asyncio").addFilter(_is_news)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(path.absolute(), shapes)
    # Orbax and its storage layer raise many types for a damaged folder; all mean the same to the reader.
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise ValueError(f"unreadable checkpoint at {path}: {reason}") from error
    # After a failure both stay: readers may be late.
    sys.unraisablehook = hook
    logging.getLogger("asyncio").removeFilter(_is_news)
    return jax.tree.map(np.asarray, restored)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message says more than that further readers failed after the first one."""
    return "exception was never retrieved" not in record.getMessage()


class _LateReaders:
    """Drops what threads of the storage library print when the first error has closed the loop they report to."""

    def __init__(self, otherwise: Callable[..., object]):
        # Not one upon the other, however many checkpoints are damaged.
        self._otherwise = otherwise._otherwise if isinstance(otherwise, _LateReaders) else otherwise

    def __call__(self, event: "sys.UnraisableHookArgs") -> None:
        if str(event.exc_value) != "Event loop is closed":
            self._otherwise(event)
