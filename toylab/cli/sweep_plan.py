"""``toylab sweep plan``: the list of runs that machines will share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toylab.cli.folders import make_writable
from toylab.cli.output import note, print_json
from toylab.cli.settings import Whole
from toylab.cli.sweep_cells import check_buildable, parse_grid, planned


@dataclass(frozen=True)
class Flags:
    """Write sweep.json: every combination of settings given as lists (--beta 0,0.5,1) or ranges (--seed 0:8).

    Nothing is trained. Then, on each machine: toylab sweep run OUT --shard i/n, and at last toylab sweep merge OUT.
    """

    out: Path = Path("runs/sweep")
    """Folder of the sweep."""
    preset: str | None = None
    """Named settings to start from (`toylab list presets`); other flags win."""
    metrics: str = "sliced_w1"
    """Metrics of the final evaluation, comma-separated; `toylab report` shows sliced_w1."""
    score_n: Whole = 32_768
    """Samples of the final evaluation."""
    score_keys: Whole = 2
    """Independent evaluations behind its standard error."""
    json: bool = False
    """Print one JSON object about the plan."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    return parse_grid("sweep plan", Flags, argv)


def run(flags: Flags) -> int:
    """Write the plan."""
    from toylab.experiments.sweep import (  # JAX: --help and a bad flag do not wait for it
        SweepPlan,
        write_plan,
    )

    cells, scoring = planned(flags)
    check_buildable(cells)
    make_writable(flags.out)
    path = write_plan(flags.out, SweepPlan(tuple(cells), scoring))
    if flags.json:
        print_json({"plan": str(path), "cells": [cell.name for cell in cells]})
    else:
        print(f"{path}: {len(cells)} cells")
        note(f"next, on machine i of n: toylab sweep run {flags.out} --shard i/n")
    return 0
