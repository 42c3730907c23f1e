"""Grids of runs: planned as a list, trained in lanes, restarted by running the same line again.

A cell is one config, and its folder is named by the config's hash. What is finished is on disk, whole;
nothing else is remembered, so a sweep can be stopped, started again, and split between machines that share
a disk, or merge their folders later, without any of them knowing of the others.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toylab import runs
from toylab.config import FIELDS, RunConfig
from toylab.scores import HEADLINE, read_score, write_scores

SCORES = runs.SCORES
"""File of a run folder: metric -> score of a final evaluation (`Score.to_json`)."""
MAX_CELLS = 100_000
LANES_PER_DEVICE = 8
YOUNGER_SETTINGS = ("adam_beta2", "label_dropout", "guidance", "guidance_mix", "net", "net_options")
"""Settings that came after the first committed results."""
_DEFAULT = RunConfig()


class Cell(NamedTuple):
    """One run of a grid and the name of its folder."""

    name: str
    config: RunConfig


class Scoring(NamedTuple):
    """The final evaluation of each cell: the arguments of `toylab.evaluate`."""

    names: tuple[str, ...] = (HEADLINE,)
    n: int | None = None
    num_keys: int = 2


class Progress(NamedTuple):
    """How far a sweep has come: cells finished before it began, finished by it, and all of them."""

    skipped: int
    trained: int
    total: int


def plan(grid: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """Every combination of the values of ``grid``, the last field varying fastest.

    Args:
        grid: field of `RunConfig` -> its values; fields that are missing keep their default.

    Raises:
        ValueError: an unknown field, a field without values, a bad value, or more than 100,000 cells.

    >>> [cell.config.beta for cell in plan({"beta": [0, 1], "seed": [0, 1]})]
    [0.0, 0.0, 1.0, 1.0]
    """
    if unknown := sorted(set(grid) - set(FIELDS)):
        raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
    size = 1
    for name, values in grid.items():
        size *= len(values)
        if not values:
            raise ValueError(f"{name} has no values")
    if size > MAX_CELLS:
        raise ValueError(f"the grid has {size} cells, at most {MAX_CELLS} are planned")
    configs = [
        RunConfig(**dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
    ]
    cells = {cell_name(config): config for config in configs}
    return [Cell(name, config) for name, config in cells.items()]


def where_used(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of a grid over methods, each with the settings that its method uses; the rest go back to their default.

    ``--method meanflow,flow_matching --proxy ema,oracle`` then means two proxies of meanflow, and flow_matching once.

    Raises:
        ValueError: an unknown method.
    """
    from toylab.training.experiment import without_unused_settings

    configs = [without_unused_settings(cell.config) for cell in cells]
    return [Cell(name, config) for name, config in {cell_name(config): config for config in configs}.items()]


def cell_name(config: RunConfig) -> str:
    """A name that tells configs apart: what matters most to a reader, then a hash of all settings."""
    settings = config.to_dict()
    canonical = json.dumps(
        {name: settings[name] for name in settings if _is_told(config, name)}, sort_keys=True
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
    return f"{config.dataset}-{config.method}-b{config.beta:g}-s{config.seed}-{digest}"


def _is_told(config: RunConfig, name: str) -> bool:
    """Whether a setting is part of a cell's hash: a younger one only where it was set, so that old cells are found."""
    return name not in YOUNGER_SETTINGS or getattr(config, name) != getattr(_DEFAULT, name)


def shard(cells: Sequence[Cell], index: int, count: int) -> list[Cell]:
    """Part ``index`` (from 0) of ``count``: the parts are disjoint, and together they are the whole.

    Raises:
        ValueError: ``index`` outside [0, count).
    """
    if count < 1:
        raise ValueError(f"shard {index}/{count} is a part of none: the second number is at least 1")
    if not 0 <= index < count:
        raise ValueError(f"shard {index}/{count} is not one of 0/{count} to {count - 1}/{count}")
    return list(cells[index::count])


def is_finished(folder: Path, scoring: Scoring | None = None) -> bool:
    """Whether a cell needs no more work: trained to the end and scored as ``scoring`` asks, or diverged.

    Raises:
        ValueError: a damaged run folder; the message names the file.
    """
    if not runs.is_run(folder):
        return False
    status = runs.read_run(folder).header.status
    return status == "diverged" or (status == "done" and _is_scored(folder, scoring or Scoring()))


def _is_scored(folder: Path, scoring: Scoring) -> bool:
    """Whether the folder holds these metrics with this n and so many keys; a damaged file is written again."""
    from toylab.evaluation import default_n

    try:
        scores = {name: read_score(folder, name) for name in scoring.names}
    except ValueError:
        return False
    return all(
        score is not None
        and score.n == (default_n(name) if scoring.n is None else scoring.n)
        and score.num_keys == scoring.num_keys
        for name, score in scores.items()
    )


def run_sweep(
    cells: Sequence[Cell],
    out: Path,
    scoring: Scoring | None = None,
    lanes: int | None = None,
    progress: bool | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Train and score the cells that are not finished yet; interrupted ones continue where they stopped.

    Args:
        cells: planned runs.
        out: folder that holds one run folder per cell.
        scoring: the final evaluation; 32,768 samples, sliced W1 and two keys by default.
        lanes: runs that train together, and reach the disk together; by default 8 per device.
        progress: a progress bar on standard error; by default where that is a terminal.
        on_progress: called at the start and whenever cells are finished.

    Raises:
        ValueError: a bad setting, before anything is trained; a damaged run folder.
        TrainingInterrupted: on Ctrl-C, after saving.
    """
    from toylab.training import load, train_many
    from toylab.training.api import group_by_program

    scoring = scoring or Scoring()
    pending = [cell for cell in cells if not is_finished(out / cell.name, scoring)]
    done = Progress(len(cells) - len(pending), 0, len(cells))
    on_progress(done)
    started = [load(out / cell.name) if runs.is_run(out / cell.name) else None for cell in pending]
    for chunk in _plan_chunks(group_by_program([cell.config for cell in pending], started), lanes):
        untrained = [i for i in chunk if (run := started[i]) is None or run.status == "unfinished"]
        trained = train_many(
            [pending[i].config for i in untrained],
            paths=[out / pending[i].name for i in untrained],
            resume=[started[i] for i in untrained],
            progress=progress,
        )
        unscored = [run for i in chunk if (run := started[i]) is not None and i not in untrained]
        for run in [*unscored, *trained]:
            if run.status == "done":
                score(run, scoring)
        done = done._replace(trained=done.trained + len(chunk))
        on_progress(done)
    return done


def score(run, scoring: Scoring) -> None:
    """Evaluate a saved run and write the scores into its folder; null where samples are not finite."""
    from toylab.evaluation import evaluate

    write_scores(run.path, evaluate(run, scoring.names, n=scoring.n, num_keys=scoring.num_keys))


def _plan_chunks(groups: Sequence[Sequence[int]], lanes: int | None) -> list[Sequence[int]]:
    """What trains together, in order: the groups in chunks of at most ``lanes``."""
    import jax

    largest = lanes or LANES_PER_DEVICE * jax.local_device_count()
    return [chunk for group in groups for chunk in equal_chunks(group, largest)]


def equal_chunks(items: Sequence[int], largest: int) -> list[Sequence[int]]:
    """As few chunks of at most ``largest`` as possible, of one size but the last: each size recompiles.

    >>> [len(chunk) for chunk in equal_chunks(range(18), 16)]
    [9, 9]
    """
    size = -(-len(items) // -(-len(items) // largest))
    return [items[start : start + size] for start in range(0, len(items), size)]
