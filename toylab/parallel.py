"""Where lanes run: the only module that names devices and mesh axes.

A lane is one run of an ensemble. On a CPU each core is one JAX device and lanes are spread over them, since XLA hardly
uses a second core for nets of this size; the lanes of one device run one after the other (`lax.map`), which keeps a
lane's parameters in cache and makes its result independent of its neighbours to the last bit. On an accelerator the
lanes of a device are batched (`vmap`).
"""

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

LANES = "lanes"

# Measured on two Zen 5 cores: reassociation and wider vectors give about a tenth more steps per second. NaN and
# infinity stay honoured (the sub-flags that drop them are off), and divergence is detected on bit patterns.
_CPU_OPTIONS = {"xla_cpu_enable_fast_math": True, "xla_cpu_prefer_vector_width": 512}


def use_all_cores() -> None:
    """Make every CPU core a JAX device; without effect once JAX has started or where the user chose a number."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" in flags or os.environ.get("JAX_NUM_CPU_DEVICES"):
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except RuntimeError:
        pass  # JAX has already started: its devices stay as they are.


def enable_compilation_cache() -> Path:
    """Keep compiled programs between processes, in TOYLAB_CACHE_DIR or the user's cache folder."""
    root = os.environ.get("TOYLAB_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(root) / "toylab" / "xla"
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return path


def lane_mesh(num_lanes: int) -> Mesh:
    """A mesh over as many local devices as there are lanes to fill."""
    devices = jax.local_devices()[:num_lanes]
    return jax.make_mesh((len(devices),), (LANES,), devices=devices, axis_types=(AxisType.Auto,))


def padded(num_lanes: int, mesh: Mesh) -> int:
    """The number of lanes rounded up to a multiple of the devices."""
    return -(-num_lanes // mesh.size) * mesh.size


def place(tree, mesh: Mesh):
    """Lane-stacked arrays laid over the devices of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(LANES)))


@lru_cache(maxsize=256)
def over_lanes(fn: Callable, mesh: Mesh, num_shared: int = 0, donate: tuple[int, ...] = ()) -> Callable:
    """``fn`` of one lane, compiled for lane-stacked arguments; the last ``num_shared`` arguments are common to all.

    The function itself is the key of the cache: pass module-level functions, not fresh closures.
    """

    def one_device(*arguments):
        split = len(arguments) - num_shared
        stacked, shared = arguments[:split], arguments[split:]

        def one_lane(lane):
            return fn(*lane, *shared)

        return jax.lax.map(one_lane, stacked) if _on_cpu(mesh) else jax.vmap(one_lane)(stacked)

    @partial(jax.jit, donate_argnums=donate, compiler_options=_CPU_OPTIONS if _on_cpu(mesh) else None)
    def call(*arguments):
        stacked = (PartitionSpec(LANES),) * (len(arguments) - num_shared)
        specs = (*stacked, *(PartitionSpec(),) * num_shared)
        spread = jax.shard_map(
            one_device, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(LANES), check_vma=False
        )
        return spread(*arguments)

    return call


def is_finite(x: jax.Array) -> jax.Array:
    """Whether every float32 of ``x`` is finite, read off the exponent bits: no compiler flag can assume it away."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    return jnp.all((bits & 0x7F800000) != 0x7F800000)


def _on_cpu(mesh: Mesh) -> bool:
    return mesh.devices.flat[0].platform == "cpu"
