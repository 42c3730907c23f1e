"""Every CPU core a JAX device: decided once, before JAX starts, whichever part of toylab is used first.

XLA hardly uses a second core for nets of this size, so lanes of an ensemble are dealt out to devices. JAX fixes their
number when it first computes, so this runs with the first module of toylab that imports JAX.
"""

import os
import warnings


def use_all_cores() -> None:
    """Make every CPU core a JAX device, unless the user chose a number.

    Where JAX has started already with fewer devices this comes too late, and a RuntimeWarning says so.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" in flags or os.environ.get("JAX_NUM_CPU_DEVICES"):
        return
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", num_cores())
    except RuntimeError:  # JAX has started: its devices stay as they are
        count = jax.local_device_count()
        if jax.default_backend() == "cpu" and count < num_cores():
            warnings.warn(
                f"JAX started before toylab and has {count} of {num_cores()} cores: ensembles will train on {count}. "
                f"Import toylab.training before the first JAX computation, or set JAX_NUM_CPU_DEVICES={num_cores()}",
                RuntimeWarning,
                stacklevel=3,
            )


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
