"""Cells of a sweep on the command line: from flags, in shards, trained; shared by the commands that train grids."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED, REQUEUE
from toylab.cli.output import note, print_json
from toylab.cli.parsing import check_number
from toylab.cli.settings import KINDS, settings_class, settings_of
from toylab.cli.start import start_jax
from toylab.cli.train import base_settings, no_divergence_warning, with_settings

if TYPE_CHECKING:
    from toylab.experiments.sweep import Cell, Scoring


def parse_grid(command: str, into: type, argv: Sequence[str]) -> Any:
    """Flags of ``into`` and lists of settings, the flags of the final evaluation checked.

    Raises:
        ValueError: a bad flag or value.
    """
    flags = parsing.parse(command, with_settings(into, settings_class(base_settings(argv), many=True)), argv)
    check_number("score-n", flags.score_n, 1, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    return flags


def planned(flags: Any) -> "tuple[list[Cell], Scoring]":
    """The cells of lists of settings, and their final evaluation; starts JAX.

    Raises:
        ValueError: a bad value, an unknown metric, or too many samples for one.
    """
    # JAX, which --help and a bad flag do not wait for; so are all imports inside functions here.
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
    start_jax()
    if len(grid["method"]) > 1:  # for a single method an option that it does not use is an error
        cells = where_used(cells)
    return cells, scoring


def check_buildable(cells: "Sequence[Cell]") -> None:
    """Build the experiment of every cell, so that a wrong name or option is an error before any folder is made.

    Raises:
        ValueError: a wrong name or option.
    """
    from toylab.training.experiment import (
        build_experiment,
    )  # JAX: about 2 s of processor time, not for --help

    for cell in cells:
        build_experiment(cell.config)


def train_cells(
    cells: "Sequence[Cell]", out: Path, scoring: "Scoring", lanes: int, part: str, as_json: bool
) -> int:
    """Train what is not finished yet and print the progress; returns the exit code."""
    from toylab.experiments.sweep import Progress, run_sweep  # likewise
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
    from toylab.storage.run_folder import read_run  # pandas: not for --help

    return sum(read_run(folder).header.status == "diverged" for folder in folders)
