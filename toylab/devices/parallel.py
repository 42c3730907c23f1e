"""Placement and execution of lanes on devices: one lane after the other on a CPU, batched on accelerators.

A lane is one run of an ensemble. On a CPU each core is one JAX device and lanes are distributed over them, since XLA
hardly uses a second core for nets of this size. Every lane runs the same single-lane program, so its result is
bit-identical whatever its neighbours and the number of devices. On an accelerator the lanes of a device are batched by
`vmap`, and devices share them by `shard_map`.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from toylab.devices.sharding import ALONE, Split
from toylab.storage.cache import cache_folder
from toylab.types import AnyArray, Flag

MAP_SHARE = 0.5
"""Share of the memory maps that a process may have; above it `make_room` clears the compiled programs."""

Tree = Any
"""A pytree of arrays; floats become float32 where lanes are put."""

Device = Any
"""A `jax.Device`, which type checkers take for a variable."""

_LANE_AXIS = "lanes"

_CPU_OPTIONS = {
    # XLA's default is 256 bits even where the processor has registers of 512.
    "xla_cpu_prefer_vector_width": 512,
    # XLA's fused reductions contend for threads on small batches: 64 rows trained ten times slower than 32. Matrix
    # products alone keep their gain. Measured with jaxlib 0.10.2 on two cores.
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
}


def single_precision() -> contextlib.AbstractContextManager:
    """A context for this thread in which JAX computes in float32 though x64 is on: training is float32 by contract."""
    return jax.enable_x64(False)


def enable_compilation_cache() -> Path:
    """Keep compiled programs between processes, in TOYLAB_CACHE_DIR or the user's cache folder."""
    path = cache_folder() / "xla"
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return path


class AbstractLanes(ABC):
    """A fixed number of lanes and their devices. ``Placed`` below means one tree per lane, kept on the devices."""

    split: Split = ALONE
    """The devices that share each lane."""

    def __init__(self, num_lanes: int):
        self.num_lanes = num_lanes

    @abstractmethod
    def put(self, trees: Sequence[Tree]) -> Any:
        """Placed: one tree of arrays per lane, copied to the devices."""

    @abstractmethod
    def get(self, placed: Any) -> list[Tree]:
        """The tree of each lane as numpy arrays."""

    @abstractmethod
    def pick(self, choose: Callable[[Tree], Tree], placed: Any) -> Any:
        """``choose(tree)`` for every lane, placed; it only picks leaves, so nothing is compiled."""

    @abstractmethod
    def map(self, fn: Callable, *placed: Any, shared: Sequence[AnyArray | np.generic] = ()) -> Any:
        """``fn(*trees of one lane, *shared)`` for every lane, compiled, placed; waits until it is done.

        ``fn`` is the key of the compiled program: pass module-level functions or cached closures, not fresh ones.
        """

    @abstractmethod
    def update(self, fn: Callable, *placed: Any, shared: Sequence[AnyArray | np.generic] = ()) -> Any:
        """`map` for functions whose result is the next value of the last of ``placed``, and is laid out as that is."""


class SeparateLanes(AbstractLanes):
    """One lane after the other on each device, devices in parallel: for CPUs."""

    def __init__(self, num_lanes: int, devices: Sequence[Device]):
        super().__init__(num_lanes)
        self._devices = devices[:num_lanes]

    def put(self, trees: Sequence[Tree]) -> list[Tree]:
        """Lane i on device i modulo their number."""
        with single_precision():
            return [jax.device_put(tree, self._device(lane)) for lane, tree in enumerate(trees)]

    def get(self, placed: list[Tree]) -> list[Tree]:
        """Copies on the host."""
        return [jax.tree.map(np.asarray, tree) for tree in placed]

    def pick(self, choose: Callable[[Tree], Tree], placed: list[Tree]) -> list[Tree]:
        """Lane by lane."""
        return [choose(tree) for tree in placed]

    def map(
        self, fn: Callable, *placed: list[Tree], shared: Sequence[AnyArray | np.generic] = ()
    ) -> list[Tree]:
        """One thread per device, so that devices compile and compute in parallel."""
        call = compiled(fn)

        def run_device(first: int) -> list[Tree]:
            results = []
            with single_precision():  # here, since the context holds for one thread only
                common = jax.device_put(tuple(shared), self._device(first))
                for lane in range(first, self.num_lanes, len(self._devices)):
                    results.append(call(*[trees[lane] for trees in placed], *common))
                return jax.block_until_ready(results)

        if len(self._devices) == 1:
            return run_device(0)
        with ThreadPoolExecutor(len(self._devices), thread_name_prefix="toylab-device") as pool:
            by_device = list(pool.map(run_device, range(len(self._devices))))
        return [by_device[lane % len(by_device)][lane // len(by_device)] for lane in range(self.num_lanes)]

    update = map  # a lane has one layout: whole, on its device

    def _device(self, lane: int) -> Device:
        return self._devices[lane % len(self._devices)]


class BatchedLanes(AbstractLanes):
    """Lanes stacked and batched on each device, the stack split over the devices: for accelerators."""

    def __init__(self, num_lanes: int, devices: Sequence[Device]):
        super().__init__(num_lanes)
        devices = devices[:num_lanes]
        self._mesh = jax.make_mesh(
            (len(devices),), (_LANE_AXIS,), devices=devices, axis_types=(AxisType.Auto,)
        )
        # The stack must split evenly over the devices: the last lane is repeated, and its copies are never read.
        self._num_padding = -num_lanes % len(devices)

    def put(self, trees: Sequence[Tree]) -> Tree:
        """One stacked tree, split over the mesh."""
        padded = [*trees, *[trees[-1]] * self._num_padding]
        stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *padded)
        with single_precision():
            return jax.device_put(stacked, NamedSharding(self._mesh, PartitionSpec(_LANE_AXIS)))

    def get(self, placed: Tree) -> list[Tree]:
        """Copies on the host, without the padding."""
        host = jax.device_get(placed)
        return [jax.tree.map(lambda leaf: leaf[lane], host) for lane in range(self.num_lanes)]  # noqa: B023

    def pick(self, choose: Callable[[Tree], Tree], placed: Tree) -> Tree:
        """All lanes at once: a leaf of the stack holds that leaf of every lane."""
        return choose(placed)

    def map(self, fn: Callable, *placed: Tree, shared: Sequence[AnyArray | np.generic] = ()) -> Tree:
        """One compiled program for all lanes."""
        with single_precision():
            return jax.block_until_ready(_batched(fn, self._mesh, len(placed))(*placed, *shared))

    update = map  # every stack has one layout: split over the mesh


def lanes(num_lanes: int) -> AbstractLanes:
    """Lanes on the local devices of the default kind."""
    kind = BatchedLanes if batches_lanes() else SeparateLanes
    return kind(num_lanes, jax.local_devices())


def batches_lanes() -> bool:
    """Whether the lanes of a device are one batched program: on accelerators."""
    return jax.local_devices()[0].platform != "cpu"


@lru_cache(maxsize=256)
def compiled(fn: Callable) -> Callable:
    """``fn`` of one lane, compiled with the options for the local devices."""
    return jax.jit(fn, compiler_options=compiler_options())


def compiler_options() -> dict[str, Any] | None:
    """Compiler options for the local devices: those of a CPU, None on others."""
    return _supported_cpu_options() if jax.local_devices()[0].platform == "cpu" else None


def matmul_precision() -> str:
    """Precision requested for float32 products; ``default`` lets the device choose, which may round their inputs."""
    return getattr(jax.config, "jax_default_matmul_precision", None) or "default"


def make_room() -> None:
    """Clear the jit cache where compiled programs take more than half of the memory maps that Linux allows a process.

    The programs of one structure take one to two thousand maps on two CPU devices, and a process may have 65,530: a
    sweep over thirty structures, or a lab that is open for a day, would fail in the compiler with "Cannot allocate
    memory". Programs still in use are loaded again from the compilation cache.
    """
    maps, limit = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
    with contextlib.suppress(OSError, ValueError):  # not Linux: no such limit
        with maps.open("rb") as lines:
            count = sum(1 for _ in lines)
        if count > MAP_SHARE * int(limit.read_text()):
            jax.clear_caches()


@lru_cache(maxsize=1)
def _supported_cpu_options() -> dict[str, Any]:
    """The ``_CPU_OPTIONS`` that this version of XLA supports: it refuses to compile with an unknown one."""
    supported = {}
    for name, value in _CPU_OPTIONS.items():
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            jax.jit(jnp.negative, compiler_options={name: value}).lower(np.zeros(())).compile()
            supported[name] = value
    return supported


@lru_cache(maxsize=256)
def _batched(fn: Callable, mesh: Mesh, num_stacked: int) -> Callable:
    def one_device(*arguments: Tree) -> Tree:
        stacked, shared = arguments[:num_stacked], arguments[num_stacked:]
        return jax.vmap(lambda lane: fn(*lane, *shared))(stacked)

    def all_devices(*arguments: Tree) -> Tree:
        lane, common = PartitionSpec(_LANE_AXIS), PartitionSpec()
        specs = tuple(lane if index < num_stacked else common for index in range(len(arguments)))
        return jax.shard_map(one_device, mesh=mesh, in_specs=specs, out_specs=lane, check_vma=False)(
            *arguments
        )

    return jax.jit(all_devices)


def is_finite(x: AnyArray) -> jax.Array:
    """Whether every float32 of ``x`` is finite, read off the exponent bits.

    Under fast-math flags a compiler may assume that no float is NaN or infinite and drop a comparison of floats; it
    cannot drop one of integers.
    """
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    return jnp.all((bits & 0x7F800000) != 0x7F800000)  # all eight exponent bits set: infinity or NaN


def run_if(wanted: Flag, fn: Callable[[Tree], Tree], state: Tree) -> Tree:
    """``fn(state)`` where ``wanted``, else ``state``; costs nothing while it is wanted in no lane.

    Batched over lanes, `jax.lax.cond` computes both branches every time. A fori_loop of 0 or 1 iterations is skipped
    unless some lane needs it.
    """
    return jax.lax.fori_loop(0, wanted.astype(jnp.int32), lambda _, state: fn(state), state)
