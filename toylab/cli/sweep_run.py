"""``toylab sweep run``: one machine's part of a planned sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.folders import make_writable
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole
from toylab.cli.start import start_jax
from toylab.cli.sweep_cells import check_buildable, parse_shard, train_cells


@dataclass(frozen=True)
class Flags:
    """Train and score one part of a planned sweep; the same command again does only what is missing.

    Machines need not share a disk: copy sweep.json to each, and name their folders when merging.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder with the sweep.json of `toylab sweep plan`; runs go below it."""
    shard: str = "0/1"
    """Part i/n of the cells, i from 0."""
    lanes: Whole = 0
    """Runs that train, and are saved, together; 0 takes 8 per device."""
    json: bool = False
    """Print one JSON object about the finished part."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("sweep run", Flags, argv)
    check_number("lanes", flags.lanes, 0, 4096)
    return flags


def run(flags: Flags) -> int:
    """Train what is not finished yet."""
    from toylab.experiments.sweep import read_plan, shard  # JAX: --help and a bad flag do not wait for it

    part = parse_shard(flags.shard)
    plan = read_plan(flags.folder)
    cells = shard(plan.cells, *part)
    make_writable(flags.folder)
    start_jax()
    check_buildable(cells)
    return train_cells(cells, flags.folder, plan.scoring, flags.lanes, flags.shard, flags.json)
