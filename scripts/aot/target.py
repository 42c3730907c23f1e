"""An H100 as JAX describes it, without one: programs are compiled for it ahead of time on any machine.

Needs jax[cuda13] (the compiler), no GPU. Nothing is tuned by measuring: tile sizes differ from those of a real run,
fusions and numbers of kernels hardly. `h100.txtpb` describes the device for jax 0.11.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hlo
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from toylab.devices import parallel
from toylab.training.experiment import Experiment
from toylab.training.state import init_state
from toylab.training.step import train_lane

DESCRIPTION = Path(__file__).parent / "h100.txtpb"
FOLDER = Path("build") / "aot"


def set_up(dry_run: bool, cards: int = 1) -> None:
    """Have toylab build the programs of an accelerator on this machine; call it before anything asks for devices.

    Args:
        dry_run: programs are for CPU devices of this process, ``cards`` of them.
        cards: that will share a run.

    Raises:
        RuntimeError: toylab chooses its lanes in another way by now.
    """
    # The CUDA plugin compiles without a GPU, but refuses to load where JAX looks for one.
    jax.config.update("jax_platforms", "cpu")
    if dry_run:
        jax.config.update("jax_num_cpu_devices", cards)
    parallel.batches_lanes = lambda: True
    if not isinstance(parallel.lanes(1), parallel.BatchedLanes):
        raise RuntimeError("could not switch to batched lanes: parallel.lanes chooses in another way now")


def mesh_of(axis: str, cards: int, dry_run: bool) -> Mesh:
    """``cards`` H100 as a mesh with one axis; for a dry run, CPU devices of this process."""
    if dry_run:
        devices = jax.devices()[:cards]
    else:
        devices = topologies.get_topology_desc(
            topology_name="h100",
            platform="cuda",
            target_config=DESCRIPTION.read_text(),
            topology=f"1x{cards}x1",
        ).devices[:cards]
    return Mesh(np.array(devices), (axis,), axis_types=(AxisType.Auto,))


def described(leaf: Any, sharding: NamedSharding, lead: tuple[int, ...] = ()) -> jax.ShapeDtypeStruct:
    """Shape and type of a leaf where lanes are put, float64 as float32, with ``lead`` axes before its own."""
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    dtype = np.dtype(np.float32) if dtype == np.float64 else dtype
    return jax.ShapeDtypeStruct((*lead, *np.shape(leaf)), dtype, sharding=sharding)


def lowered_lanes(experiment: Experiment, lanes: int, dry_run: bool) -> Any:
    """The program that trains ``lanes`` batched lanes like ``experiment`` on one H100, not compiled yet."""
    mesh = mesh_of("lanes", 1, dry_run)
    split, everywhere = NamedSharding(mesh, PartitionSpec("lanes")), NamedSharding(mesh, PartitionSpec())
    with parallel.single_precision():
        trees = [
            jax.tree.map(lambda leaf: described(leaf, split, (lanes,)), tree)
            for tree in (experiment, jax.eval_shape(init_state, experiment))
        ]
        program = parallel._batched(train_lane, mesh, len(trees))
        return program.lower(*trees, jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere))


def compile_and_report(
    lower: Callable[[], Any], name: str, options: dict[str, Any], dry_run: bool
) -> str | None:
    """Lower, compile and print memory; writes build/aot/NAME.txt.

    Returns:
        the text of the compiled program; None after a dry run.
    """
    begin = time.perf_counter()
    program = lower()
    print(f"lowered in {time.perf_counter() - begin:.1f} s")
    if dry_run:
        print(f"dry run: {len(program.as_text()):,} characters of StableHLO, not compiled")
        return None
    begin = time.perf_counter()
    with parallel.single_precision():
        compiled = program.compile(compiler_options=options or None)
    print(f"compiled in {time.perf_counter() - begin:.1f} s")
    memory = compiled.memory_analysis()
    for part in ("argument_size", "output_size", "temp_size", "alias_size", "peak_memory"):
        print(f"  {part} {getattr(memory, f'{part}_in_bytes') / 1e9:.3f} GB")
    text = compiled.as_text()
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.txt"
    path.write_text(text)
    print(f"{path}: python scripts/aot/aggregate.py {path} lists where its bytes go")
    return text


def report_steps(text: str | None) -> None:
    """Print kernels and bytes of the body of each outer loop: of one training step."""
    if text is not None:
        program = hlo.parse(text)
        for body in program.loop_bodies():
            hlo.report(program.statistics(body))


def settings(words: Sequence[str]) -> dict[str, Any]:
    """``["a=1", "b=true", "c=x"]`` as {"a": 1, "b": True, "c": "x"}."""
    return {name: value_of(text) for name, _, text in (word.partition("=") for word in words)}


def value_of(text: str) -> Any:
    """A truth value, a number, or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every script that compiles."""
    parser.add_argument("--net", nargs="*", default=[], metavar="K=V", help="changed options of the net")
    parser.add_argument("--set", nargs="*", default=[], metavar="K=V", help="changed settings of the config")
    parser.add_argument("--xla", nargs="*", default=[], metavar="K=V", help="options of the compiler")
    parser.add_argument("--name", help="of the text file that is written")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="trace and lower for a CPU, compile nothing: needs no jax[cuda13]",
    )
