"""``toylab sweep``: a grid of runs, given by lists or by name, at once or in steps: plan, run, merge, submit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from toylab.cli import parsing, sweep_grid, sweep_merge, sweep_plan, sweep_run, sweep_submit
from toylab.cli.folders import make_writable
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole
from toylab.cli.sweep_cells import check_buildable, parse_grid, parse_shard, planned, train_cells

# `toylab sweep STEP`: each has flags of its own.
STEPS = {"plan": sweep_plan, "run": sweep_run, "merge": sweep_merge, "submit": sweep_submit}


@dataclass(frozen=True)
class Flags:
    """Train every combination of settings given as lists (--beta 0,0.5,1) or ranges (--seed 0:8, 8 excluded).

    One run folder per cell, named by a hash of its settings, with a final evaluation in scores.json. The
    same line again skips what is finished and continues what was interrupted. Where cells diverged the
    others are saved all the same, and the exit code is 3. Of several methods each takes the settings it
    uses.

    In steps, for several machines: toylab sweep plan, run, submit (SLURM), merge; each has its own --help.
    """

    grid: Literal["", "images", "paper"] = ""
    """A named grid instead of lists of settings, with flags of its own: toylab sweep --grid NAME --help."""
    out: Path = Path("runs/sweep")
    """Folder for the run folders."""
    preset: str | None = None
    """Named settings to start from (`toylab list presets`); other flags win."""
    shard: str = "0/1"
    """Part i/n of the cells, i from 0: run each part on its own machine."""
    metrics: str = "sliced_w1"
    """Metrics of the final evaluation, comma-separated; `toylab report` shows sliced_w1."""
    score_n: Whole = 32_768
    """Samples of the final evaluation."""
    score_keys: Whole = 2
    """Independent evaluations behind its standard error."""
    lanes: Whole = 0
    """Runs that train, and are saved, together; 0 takes 8 per device."""
    json: bool = False
    """Print one JSON object about the finished sweep."""


def parse(argv: Sequence[str]) -> Callable[[], int]:
    """The work of the command as a function: a step of a planned sweep, a named grid, or a sweep at once.

    Raises:
        ValueError: a bad flag or value.
    """
    if argv and argv[0] in STEPS:
        step = STEPS[argv[0]]
        return partial(step.run, step.parse(argv[1:]))
    if argv and not argv[0].startswith("-"):
        raise ValueError(f"unknown step {argv[0]!r} of a sweep; choices: {', '.join(STEPS)}, or flags alone")
    if parsing.peek(argv, "--grid"):
        return partial(sweep_grid.run, sweep_grid.parse(argv))
    flags = parse_grid("sweep", Flags, argv)
    check_number("lanes", flags.lanes, 0, 4096)
    return partial(run_at_once, flags)


def run(task: Callable[[], int]) -> int:
    """Do it."""
    return task()


def run_at_once(flags: Flags) -> int:
    """Train what is not finished yet."""
    from toylab.experiments.sweep import shard  # JAX: --help and a bad flag do not wait for it

    part = parse_shard(flags.shard)
    cells, scoring = planned(flags)
    cells = shard(cells, *part)
    check_buildable(cells)
    make_writable(flags.out)
    return train_cells(cells, flags.out, scoring, flags.lanes, flags.shard, flags.json)
