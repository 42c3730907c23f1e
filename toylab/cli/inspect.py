"""``toylab inspect CONFIG``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.configs import find_config
from toylab.cli.output import print_json
from toylab.cli.start import start_jax


@dataclass(frozen=True)
class Flags:
    """Count parameters, operations and memory of a configuration before training."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A packaged config (`toylab list configs`), a preset, a TOML or JSON file of settings, or a run folder."""
    json: bool = False
    """Print one JSON object: params, flops_forward, flops_step {plain, split}, bytes, collectives."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("inspect", Flags, argv)


def run(flags: Flags) -> int:
    """Count and print."""
    config = find_config(flags.config)
    # 2.5 s to import, which --help, a bad flag and an unknown config must not wait for.
    from toylab.training.cost import cost

    start_jax()
    facts = cost(config)
    if flags.json:
        print_json(facts)
        return 0
    steps = facts["flops_step"]
    print(f"parameters              {facts['params']:>14,}")
    print(f"flops, forward, 1 row   {facts['flops_forward']:>14,}")
    rows = f"batch {config.batch_size}, {config.num_equal} rows r = t"
    print(f"flops, step, as trained {steps['split']:>14,}   ({rows})")
    print(f"flops, step, all JVP    {steps['plain']:>14,}")
    print(f"bytes of state          {facts['bytes']:>14,}")
    print(f"collectives             {facts['collectives']:>14,}")
    return 0
