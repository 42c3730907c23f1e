"""Whether a run fits into memory, before anything is allocated: an allocation that fails ends the process."""

import os
from collections.abc import Sequence

from toylab.config import RunConfig

STATE_COPIES = 5
"""Arrays of the size of the parameters: themselves, their moving average, two of Adam, the gradient."""
ACTIVATION_COPIES = 4
"""Arrays of (batch, width) per layer: values and tangents, and what their derivative keeps of both."""
DIM = 2


def check_memory(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot fit: states of all of them, and the activations of the largest.

    Raises:
        ValueError: more than this machine has; the line has the numbers.
    """
    if not configs or (memory := physical_memory()) is None:
        return
    largest = max(configs, key=activation_bytes)
    needed = sum(map(state_bytes, configs)) + activation_bytes(largest)
    if needed > memory:
        raise ValueError(
            f"{len(configs)} run(s) with width {largest.width}, depth {largest.depth}, batch_size "
            f"{largest.batch_size} need about {needed / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB"
        )


def state_bytes(config: RunConfig) -> int:
    """About the bytes of a run's state and gradient, in float32."""
    inputs = DIM + 2 * config.embed_dim
    width = config.width
    params = (inputs + 1) * width + (config.depth - 1) * (width + 1) * width + (width + 1) * DIM
    return 4 * STATE_COPIES * params


def activation_bytes(config: RunConfig) -> int:
    """About the bytes of what one step keeps of a batch, in float32."""
    return 4 * ACTIVATION_COPIES * config.batch_size * config.width * config.depth


def physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
