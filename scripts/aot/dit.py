"""Count what an H100 would run in a training step of a DiT: kernels, bytes, memory.

python scripts/aot/dit.py --kind split --net unroll=true      # imagenet-latent-dit-B4
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from target import (
    add_common,
    compile_and_report,
    described,
    lowered_lanes,
    mesh_of,
    report_steps,
    set_up,
    settings,
)

from toylab.bench.training import with_data_at_hand
from toylab.configs import named_config
from toylab.devices import parallel
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.state import init_state
from toylab.training.step import train_lane


def main() -> None:
    """Compile and count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="imagenet-latent-dit-B4")
    parser.add_argument(
        "--kind", choices=("split", "plain"), default="split", help="plain: no rows of r = t apart"
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--proxy", default="conditional")
    parser.add_argument("--beta", type=float, default=0.0)
    parser.add_argument(
        "--unbatched", action="store_true", help="the program of a lane itself, not of one batched"
    )
    parser.add_argument(
        "--donate", action="store_true", help="with --unbatched: the state's memory is used again"
    )
    add_common(parser)
    chosen = parser.parse_args()
    if chosen.donate and not chosen.unbatched:
        parser.error("--donate has no effect without --unbatched")
    set_up(chosen.dry_run)
    config, _ = with_data_at_hand(named_config(chosen.config))
    changes: dict[str, Any] = {
        "batch_size": chosen.batch,
        "net_options": {**config.net_options, **settings(chosen.net)},
        "proxy": chosen.proxy,
        "proxy_options": {},
        "beta": chosen.beta,
        **({"p_equal": 0.0} if chosen.kind == "plain" else {}),
    }
    experiment = build_experiment(config.replace(**(changes | settings(chosen.set))))

    def lower() -> Any:
        if chosen.unbatched:
            return lowered_alone(experiment, chosen.donate, chosen.dry_run)
        return lowered_lanes(experiment, 1, chosen.dry_run)

    name = chosen.name or f"dit-{chosen.kind}"
    report_steps(compile_and_report(lower, name, settings(chosen.xla), chosen.dry_run))


def lowered_alone(experiment: Experiment, donate: bool, dry_run: bool) -> Any:
    """The program of one lane without an axis of lanes, not compiled yet."""
    everywhere = NamedSharding(mesh_of("x", 1, dry_run), PartitionSpec())
    with parallel.single_precision():
        trees = [
            jax.tree.map(lambda leaf: described(leaf, everywhere), tree)
            for tree in (experiment, jax.eval_shape(init_state, experiment))
        ]
        program = jax.jit(train_lane, donate_argnums=(1,) if donate else ())
        return program.lower(*trees, jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere))


if __name__ == "__main__":
    main()
