"""Makes every CPU core a JAX device, before JAX starts.

XLA hardly uses a second core for nets of this size, so the lanes of an ensemble are distributed over devices instead.
JAX fixes their number at its first computation, so the first module of toylab that imports JAX calls `use_all_cores`.
"""

import os
import warnings

import jax


def use_all_cores() -> None:
    """Make every CPU core a JAX device, unless XLA_FLAGS or JAX_NUM_CPU_DEVICES sets a number.

    If JAX has already started with fewer devices, their number cannot change; a RuntimeWarning says so.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" in flags or os.environ.get("JAX_NUM_CPU_DEVICES"):
        return
    try:
        jax.config.update("jax_num_cpu_devices", num_cores())
    except RuntimeError:  # JAX has started, and its devices are fixed.
        count = jax.local_device_count()
        if jax.default_backend() == "cpu" and count < num_cores():
            warnings.warn(
                f"JAX started before toylab and uses {count} of {num_cores()} cores: ensembles will train on {count}. "
                f"Import toylab.training before the first JAX computation, or set JAX_NUM_CPU_DEVICES={num_cores()}",
                RuntimeWarning,
                stacklevel=3,
            )


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
