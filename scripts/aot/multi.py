"""List what H100s that share one DiT run would send each other in a step, and the memory of each.

python scripts/aot/multi.py B data             # size, layout (data or zero3); eight cards
python scripts/aot/multi.py XL zero3 --proxy ema
"""

import argparse
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from target import add_common, compile_and_report, described, mesh_of, set_up, settings

from toylab.configs import named_config
from toylab.devices import parallel
from toylab.devices.sharding import AXIS, Split, padded_length
from toylab.nets import flat_net
from toylab.training.ensemble import _trainer
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.state import init_state

COLLECTIVE = re.compile(r" (all-gather|all-reduce|reduce-scatter)(-start)?\(")


def main() -> None:
    """Compile, and print every collective operation."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("size", help="of the DiT: S, B, L, XL")
    parser.add_argument("layout", choices=("data", "zero3"))
    parser.add_argument("--proxy", default="conditional")
    parser.add_argument("--cards", type=int, default=8)
    add_common(parser)
    chosen = parser.parse_args()
    set_up(chosen.dry_run, chosen.cards)
    config = named_config("imagenet-latent-dit-B4")
    net = {**config.net_options, "size": chosen.size, **settings(chosen.net)}
    changes = {"net_options": net, "proxy": chosen.proxy, **settings(chosen.set)}
    experiment = build_experiment(config.replace(**changes))
    text = compile_and_report(
        lambda: lowered(experiment, chosen.layout, chosen.cards, chosen.dry_run),
        chosen.name or f"multi-{chosen.size}-{chosen.layout}-{chosen.proxy}",
        settings(chosen.xla),
        chosen.dry_run,
    )
    for line in (text or "").splitlines():
        if COLLECTIVE.search(line):
            print(re.sub(r"metadata=.*", "", line.strip())[:230])


def lowered(experiment: Experiment, layout: str, cards: int, dry_run: bool) -> Any:
    """The program that trains ``experiment`` on ``cards`` devices, not compiled yet."""
    length, sharded = flat_net(experiment.net).num_params, layout == "zero3"
    mesh, split = mesh_of(AXIS, cards, dry_run), Split(cards, sharded)
    everywhere, parts = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(AXIS))

    def placed(leaf: Any) -> jax.ShapeDtypeStruct:
        if sharded and np.shape(leaf) == (length,):  # a vector of parameters, of moments, or their average
            padded = (padded_length(length, cards),)
            return described(jax.ShapeDtypeStruct(padded, leaf.dtype), parts)
        return described(leaf, everywhere)

    with parallel.single_precision():
        trees = [jax.tree.map(placed, tree) for tree in (experiment, jax.eval_shape(init_state, experiment))]
        specs = [jax.tree.map(lambda leaf: leaf.sharding.spec, tree) for tree in trees]
        program = jax.shard_map(
            _trainer(split),
            mesh=mesh,
            in_specs=(*specs, PartitionSpec()),
            out_specs=specs[-1],
            check_vma=False,
        )
        print(f"{length:,} parameters")
        return jax.jit(program).lower(*trees, jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere))


if __name__ == "__main__":
    main()
