"""Processes that train one run together: how they meet, and how they agree.

Each runs the same program on its own devices. What one of them alone sees (a signal, its clock) must be told to the
others before any of them acts on it: else some would wait for sums that the rest never send.
"""

import jax
import numpy as np


def join(coordinator: str = "", index: int = 0, count: int = 0) -> None:
    """Meet the other processes; before JAX computes anything.

    Args:
        coordinator: HOST:PORT of process 0; by default what the cluster says (SLURM, Open MPI, Kubernetes, Cloud TPU).
        index: of this process, from 0.
        count: of processes.

    Raises:
        ValueError: no cluster that JAX knows, or processes that do not meet; one line.
    """
    try:
        if coordinator:
            jax.distributed.initialize(coordinator, count, index)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(f"the processes of this run did not meet: {reason}") from error


def is_first() -> bool:
    """Whether this process writes and prints what all of them know."""
    return jax.process_index() == 0


def are_many() -> bool:
    """Whether processes share this run."""
    return jax.process_count() > 1


def agree(*flags: bool) -> tuple[bool, ...]:
    """Each flag, raised where any process raises it; a meeting of all, which one process alone need not hold."""
    if jax.process_count() == 1:
        return flags
    from jax.experimental import multihost_utils

    raised = multihost_utils.process_allgather(np.asarray(flags, np.int32))
    return tuple(bool(any_of) for any_of in raised.max(axis=0))
