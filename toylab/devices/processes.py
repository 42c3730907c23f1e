"""Processes that train one run together: set-up, and flags that all of them share.

Each process runs the same program on its own devices. A flag that one process sets by itself (a signal, its clock) must
reach the others before any of them acts on it: otherwise some would wait for sums that the rest never send.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def join(coordinator: str = "", index: int = 0, count: int = 0) -> None:
    """Connect this process with the others; call it before JAX computes anything.

    Args:
        coordinator: HOST:PORT of process 0; by default JAX takes it from the cluster (SLURM, Open MPI, Kubernetes,
            Cloud TPU).
        index: index of this process, from 0.
        count: number of processes.

    Raises:
        ValueError: no cluster that JAX supports, or jax.distributed could not be initialised; one line.
    """
    try:
        if coordinator:
            jax.distributed.initialize(coordinator, count, index)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"jax.distributed failed to initialise: {reason}") from error


def is_first() -> bool:
    """Whether this is process 0, which alone writes files and prints."""
    return jax.process_index() == 0


def are_many() -> bool:
    """Whether several processes share this run."""
    return jax.process_count() > 1


def agree(*flags: bool) -> tuple[bool, ...]:
    """Each flag, True if any process passes True; all processes must call this together."""
    if jax.process_count() == 1:
        return flags
    raised = multihost_utils.process_allgather(np.asarray(flags, np.int32))
    return tuple(bool(any_of) for any_of in raised.max(axis=0))
