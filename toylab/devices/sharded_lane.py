"""One lane over all devices, of this process or of many: see `sharding` for the part of each device."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from toylab.devices.parallel import AbstractLanes, Device, Tree, compiler_options, single_precision
from toylab.devices.sharding import AXIS, Layout, Split, padded_length
from toylab.types import AnyArray

_COLLECTIVE = re.compile(
    r" (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)


class SplitLane(AbstractLanes):
    """A single lane over many devices.

    Args:
        devices: at least one, those of other processes included.
        layout: data or zero3.
        num_params: length of the vectors that zero3 shards.
    """

    def __init__(self, devices: Sequence[Device], layout: Layout, num_params: int):
        super().__init__(1)
        self.split = Split(len(devices), layout == "zero3")
        self._num_params = num_params
        self._mesh = jax.make_mesh((len(devices),), (AXIS,), devices=devices, axis_types=(AxisType.Auto,))
        self._everywhere = NamedSharding(self._mesh, PartitionSpec())
        self._programs: dict[Callable, Callable] = {}
        self._whole = jax.jit(self._trimmed, out_shardings=self._everywhere)

    def put(self, trees: Sequence[Tree]) -> Tree:
        """The tree on the devices: under zero3 vectors of parameters are sharded; all else is on every device."""
        (tree,) = trees
        return jax.tree.map(self._placed, tree)

    def get(self, placed: Tree) -> list[Tree]:
        """The tree as numpy arrays, in every process."""
        return [jax.tree.map(np.asarray, self._gathered(placed))]

    def pick(self, choose: Callable[[Tree], Tree], placed: Tree) -> Tree:
        """A part of the one lane's tree."""
        return choose(placed)

    def map(self, fn: Callable, *placed: Tree, shared: Sequence[AnyArray | np.generic] = ()) -> Tree:
        """``fn`` of whole arrays, computed on every device alike."""
        call = self._program(fn, lambda: fn)
        with single_precision():
            whole = [self._gathered(tree) for tree in placed]
            return jax.block_until_ready(call(*whole, *map(self._placed, shared)))

    def update(self, fn: Callable, *placed: Tree, shared: Sequence[AnyArray | np.generic] = ()) -> Tree:
        """``fn`` of each device's parts, compiled for all of them together."""
        call = self._program(fn, lambda: self._mapped(fn, placed, len(shared)))
        with single_precision():
            return jax.block_until_ready(call(*placed, *map(self._placed, shared)))

    def lower(self, fn: Callable, *placed: Tree, shared: Sequence[AnyArray | np.generic] = ()) -> Any:
        """The program of `update` before it is compiled, to inspect its cost and its communication."""
        call = self._program(fn, lambda: self._mapped(fn, placed, len(shared)))
        with single_precision():
            return call.lower(*placed, *map(self._placed, shared))

    def _program(self, fn: Callable, make: Callable[[], Callable]) -> Callable:
        if fn not in self._programs:
            self._programs[fn] = jax.jit(make(), compiler_options=compiler_options())
        return self._programs[fn]

    def _mapped(self, fn: Callable, placed: Sequence[Tree], num_shared: int) -> Callable:
        specs = [jax.tree.map(lambda leaf: leaf.sharding.spec, tree) for tree in placed]
        in_specs = (*specs, *[PartitionSpec()] * num_shared)
        # check_vma: JAX cannot infer that what every device computes alike (keys, counters) is equal on all of them.
        return jax.shard_map(fn, mesh=self._mesh, in_specs=in_specs, out_specs=specs[-1], check_vma=False)

    def _placed(self, leaf: AnyArray | np.generic) -> jax.Array:
        """One array on the devices; every process holds all of it, so that nothing is sent."""
        with single_precision():
            array = np.asarray(leaf)
            # `make_array_from_callback` keeps the dtype, unlike device_put: float64 settings become float32 here.
            array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
            sharding = self._everywhere
            # Told by its length: parameters, moving averages and moments are the vectors that have it.
            if self.split.sharded and array.shape == (self._num_params,):
                array = np.pad(array, (0, padded_length(len(array), self.split.count) - len(array)))
                sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    def _gathered(self, placed: Tree) -> Tree:
        """Whole arrays without padding, on every device."""
        return self._whole(placed) if self.split.sharded else placed

    def _trimmed(self, placed: Tree) -> Tree:
        padded = padded_length(self._num_params, self.split.count)
        return jax.tree.map(
            lambda leaf: leaf[: self._num_params] if leaf.shape == (padded,) else leaf, placed
        )


def automatic_layout(
    platform: str, num_devices: int, num_processes: int, num_pairs: int, num_equal: int
) -> Layout | None:
    """The layout that ``auto`` means for one run: ``data``, or None for one device.

    ``data`` on several accelerators if the rows divide evenly among them, and always where processes share the run,
    since several were started for it. Not on the cores of one CPU: the last bits of a result would depend on the
    machine.

    >>> automatic_layout("gpu", 8, 1, 64, 192), automatic_layout("cpu", 8, 1, 64, 192)
    ('data', None)
    """
    if num_processes > 1:
        return "data"
    divides = num_pairs % num_devices == 0 and num_equal % num_devices == 0
    return "data" if platform != "cpu" and num_devices > 1 and divides else None


def collectives(program: str) -> dict[str, int]:
    """Number of collectives of each kind in the text of a compiled program; kinds that do not occur are missing.

    >>> collectives("x = f32[8] all-reduce(y), to_apply=add")
    {'all-reduce': 1}
    """
    return dict(sorted(Counter(_COLLECTIVE.findall(program)).items()))
