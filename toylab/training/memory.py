"""Whether a run fits into memory, before anything is allocated: an allocation that fails ends the process."""

import os
from collections.abc import Sequence

from toylab.config import RunConfig
from toylab.nets import flat_net
from toylab.training.experiment import build_experiment

STATE_COPIES = 5
"""Arrays of the size of the parameters: themselves, their moving average, two of Adam, the gradient."""


def check_memory(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that cannot fit: states of all of them, and the activations of the largest.

    Raises:
        ValueError: more than this machine has; the line has the numbers. Or a bad setting.
    """
    if not configs or (memory := physical_memory()) is None:
        return
    largest = max(configs, key=activation_bytes)
    needed = sum(map(state_bytes, configs)) + activation_bytes(largest)
    if needed > memory:
        raise ValueError(
            f"{len(configs)} run(s) with {_sizes(largest)}, batch_size {largest.batch_size} need about "
            f"{needed / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB"
        )


def state_bytes(config: RunConfig) -> int:
    """About the bytes of a run's state and gradient, in float32."""
    return 4 * STATE_COPIES * flat_net(build_experiment(config).net).num_params


def activation_bytes(config: RunConfig) -> int:
    """About the bytes of what one step keeps of a batch, in float32."""
    return 4 * config.batch_size * build_experiment(config).net.num_activations


def _sizes(config: RunConfig) -> str:
    """What makes the net of ``config`` as large as it is."""
    if config.net_options:
        return f"net {config.net} " + ", ".join(f"{key} {value}" for key, value in config.net_options.items())
    return f"width {config.width}, depth {config.depth}"


def physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
