"""``toylab sweep``: a grid of runs, given by lists or by name, at once or in steps: plan, run, merge, submit."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED, REQUEUE
from toylab.cli.folders import make_writable
from toylab.cli.output import note, print_json
from toylab.cli.sample import check_number
from toylab.cli.settings import KINDS, Whole, settings_class, settings_of
from toylab.cli.train import base_settings, no_divergence_warning, with_settings

if TYPE_CHECKING:
    from toylab.experiments.sweep import Cell, Scoring

# `toylab sweep STEP`: the module of each is ``sweep_STEP``; that of ``--grid`` is ``sweep_grid``.
STEPS = ("plan", "run", "merge", "submit")


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
    """A named grid in the place of lists, with flags of its own: toylab sweep --grid NAME --help."""
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
        step = importlib.import_module(f"toylab.cli.sweep_{argv[0]}")
        return partial(step.run, step.parse(argv[1:]))
    if argv and not argv[0].startswith("-"):
        raise ValueError(f"unknown step {argv[0]!r} of a sweep; choices: {', '.join(STEPS)}, or flags alone")
    if parsing.peek(argv, "--grid"):
        named = importlib.import_module("toylab.cli.sweep_grid")
        return partial(named.run, named.parse(argv))
    flags = parse_grid("sweep", Flags, argv)
    check_number("lanes", flags.lanes, 0, 4096)
    return partial(run_at_once, flags)


def run(task: Callable[[], int]) -> int:
    """Do it."""
    return task()


def parse_grid(command: str, into: type, argv: Sequence[str]) -> Any:
    """Flags of ``into`` and lists of settings, the flags of the final evaluation checked.

    Raises:
        ValueError: a bad flag or value.
    """
    flags = parsing.parse(command, with_settings(into, settings_class(base_settings(argv), many=True)), argv)
    check_number("score-n", flags.score_n, 1, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    return flags


def run_at_once(flags: Flags) -> int:
    """Train what is not finished yet."""
    from toylab.experiments.sweep import shard

    part = parse_shard(flags.shard)
    cells, scoring = planned(flags)
    cells = shard(cells, *part)
    check_buildable(cells)
    make_writable(flags.out)
    return train_cells(cells, flags.out, scoring, flags.lanes, flags.shard, flags.json)


def planned(flags: Any) -> "tuple[list[Cell], Scoring]":
    """The cells that lists of settings mean, and their final evaluation; JAX is started.

    Raises:
        ValueError: a grid or metric that cannot be.
    """
    from toylab.experiments.sweep import Scoring, plan, where_used
    from toylab.metrics import metrics

    settings = settings_of(flags.settings)
    grid = {name: [value] if KINDS[name] is dict else value for name, value in settings.items()}
    cells = plan(grid)
    scoring = Scoring(
        tuple(name.strip() for name in flags.metrics.split(",")), flags.score_n, flags.score_keys
    )
    for name in scoring.names:
        check_number("score-n", scoring.n or 1, 1, metrics.create(name).max_n)
    from toylab.cli.start import start_jax

    start_jax()
    if len(grid["method"]) > 1:  # of one method a setting without use is a mistake
        cells = where_used(cells)
    return cells, scoring


def check_buildable(cells: "Sequence[Cell]") -> None:
    """Names and options are wrong or right before any folder is made.

    Raises:
        ValueError: a wrong one.
    """
    from toylab.training.experiment import build_experiment

    for cell in cells:
        build_experiment(cell.config)


def train_cells(
    cells: "Sequence[Cell]", out: Path, scoring: "Scoring", lanes: int, part: str, as_json: bool
) -> int:
    """Train what is not finished yet, and say how far it came; the exit code."""
    from toylab.experiments.sweep import Progress, run_sweep
    from toylab.training import TrainingInterrupted

    begin = time.perf_counter()

    def tell(done: Progress) -> None:
        seconds = time.perf_counter() - begin
        note(f"{done.skipped + done.trained} of {done.total} cells finished, {seconds:.0f} s")

    try:
        with no_divergence_warning():
            done = run_sweep(cells, out, scoring, lanes or None, on_progress=tell)
    except TrainingInterrupted as stop:
        note(f"interrupted, state saved in {out}; the same command continues")
        return REQUEUE if stop.requeue else INTERRUPTED
    facts = {**done._asdict(), "diverged": num_diverged([out / cell.name for cell in cells])}
    if as_json:
        print_json({"out": str(out), "shard": part, **facts, "cells": [cell.name for cell in cells]})
    else:
        counts = f"{done.trained} cells trained, {done.skipped} were finished, {facts['diverged']} diverged"
        print(f"{out}: {counts}")
        note(f"next: toylab report {out}")
    if facts["diverged"]:
        note(f"{facts['diverged']} of {len(cells)} cells diverged; all others are saved")
        return DIVERGED
    return DONE


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` as two numbers.

    Raises:
        ValueError: not of that form.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"--shard must look like 0/4, got {text!r}")
    return int(index), int(count)


def num_diverged(folders: Sequence[Path]) -> int:
    """How many of the run folders hold a diverged run."""
    from toylab.storage.run_folder import read_run

    return sum(read_run(folder).header.status == "diverged" for folder in folders)
