"""``toylab sweep``: a grid of runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED
from toylab.cli.folders import make_writable
from toylab.cli.output import note, print_json
from toylab.cli.sample import check_number
from toylab.cli.settings import KINDS, Whole, settings_class, settings_of
from toylab.cli.train import base_settings, no_divergence_warning, with_settings


@dataclass(frozen=True)
class Flags:
    """Train every combination of settings given as lists (--beta 0,0.5,1) or ranges (--seed 0:8, 8 excluded).

    One run folder per cell, named by a hash of its settings, with a final evaluation in scores.json. The
    same line again skips what is finished and continues what was interrupted. Where cells diverged the
    others are saved all the same, and the exit code is 3. Of several methods each takes the settings it
    uses.
    """

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


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range.

    Raises:
        ValueError: a bad flag or value.
    """
    flags = parsing.parse("sweep", with_settings(Flags, settings_class(base_settings(argv), many=True)), argv)
    check_number("score-n", flags.score_n, 1, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    check_number("lanes", flags.lanes, 0, 4096)
    return flags


def run(flags: Flags) -> int:
    """Train what is not finished yet."""
    from toylab.metrics import metrics
    from toylab.sweep import Progress, Scoring, plan, run_sweep, shard, where_used

    index, count = parse_shard(flags.shard)
    settings = settings_of(flags.settings)  # type: ignore[attr-defined]
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
    cells = shard(cells, index, count)
    from toylab.training import TrainingInterrupted
    from toylab.training.experiment import build_experiment

    for cell in cells:
        build_experiment(cell.config)  # names and options are wrong or right before any folder is made
    make_writable(flags.out)
    begin = time.perf_counter()

    def tell(done: Progress) -> None:
        seconds = time.perf_counter() - begin
        note(f"{done.skipped + done.trained} of {done.total} cells finished, {seconds:.0f} s")

    try:
        with no_divergence_warning():
            done = run_sweep(cells, flags.out, scoring, flags.lanes or None, on_progress=tell)
    except TrainingInterrupted:
        note(f"interrupted, state saved in {flags.out}; the same command continues")
        return INTERRUPTED
    facts = {**done._asdict(), "diverged": num_diverged([flags.out / cell.name for cell in cells])}
    if flags.json:
        print_json(
            {"out": str(flags.out), "shard": flags.shard, **facts, "cells": [cell.name for cell in cells]}
        )
    else:
        counts = f"{done.trained} cells trained, {done.skipped} were finished, {facts['diverged']} diverged"
        print(f"{flags.out}: {counts}")
        note(f"next: toylab report {flags.out}")
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
    from toylab.runs import read_run

    return sum(read_run(folder).header.status == "diverged" for folder in folders)
