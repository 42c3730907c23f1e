"""Cells trained in lanes, each once: finished cells are on disk, whole, and there is no other state.

So a sweep can be stopped, started again, and split between machines. They share a disk, or their results are merged
later; they do not communicate.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import jax

from toylab.evaluation import NUM_IMAGES, default_n, evaluate, final_image_scores
from toylab.experiments.sweep.cells import Cell
from toylab.metrics.score import HEADLINE, read_score, write_scores
from toylab.storage import run_folder
from toylab.training import Run, load, train_many
from toylab.training.api import group_by_program

# File of a run folder: metric -> score of a final evaluation (`Score.to_json`).
SCORES = run_folder.SCORES
LANES_PER_DEVICE = 8


class Scoring(NamedTuple):
    """The final evaluation of each cell: the arguments of `toylab.evaluate`; of images those of `evaluate_images`.

    Args:
        names: metrics; of images what the feature net measures.
        n: samples per key; None takes the metric's default.
        num_keys: independent evaluations.
        features: net that scores images, such as fdd-v1; none for points.
    """

    names: tuple[str, ...] = (HEADLINE,)
    n: int | None = None
    num_keys: int = 2
    features: str = ""


class Progress(NamedTuple):
    """How far a sweep has come: cells finished before it began, finished by it, and all of them; seconds of scoring."""

    skipped: int
    trained: int
    total: int
    scoring_seconds: float = 0.0


def is_finished(folder: Path, scoring: Scoring | None = None) -> bool:
    """Whether a cell needs no more work: trained to the end and scored as ``scoring`` asks, or diverged.

    Raises:
        ValueError: a damaged run folder; the message names the file.
    """
    if not run_folder.is_run(folder):
        return False
    status = run_folder.read_run(folder).header.status
    return status == "diverged" or (status == "done" and _is_scored(folder, scoring or Scoring()))


def _is_scored(folder: Path, scoring: Scoring) -> bool:
    """Whether the folder holds these metrics with this n and so many keys; a damaged file is written again."""
    try:
        scores = {name: read_score(folder, name) for name in scoring.names}
    except ValueError:
        return False
    return all(
        score is not None and score.n == _n_of(name, scoring) and score.num_keys == scoring.num_keys
        for name, score in scores.items()
    )


def _n_of(name: str, scoring: Scoring) -> int:
    """Samples per key of one metric."""
    if scoring.n is not None:
        return scoring.n
    if scoring.features:
        return NUM_IMAGES
    return default_n(name)


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
        TrainingInterrupted: as `toylab.train`, after saving.
    """
    scoring = scoring or Scoring()
    pending = [cell for cell in cells if not is_finished(out / cell.name, scoring)]
    done = Progress(len(cells) - len(pending), 0, len(cells))
    on_progress(done)
    started = [load(out / cell.name) if run_folder.is_run(out / cell.name) else None for cell in pending]
    for chunk in plan_chunks(group_by_program([cell.config for cell in pending], started), lanes):
        untrained = [i for i in chunk if (run := started[i]) is None or run.status == "unfinished"]
        trained = train_many(
            [pending[i].config for i in untrained],
            paths=[out / pending[i].name for i in untrained],
            resume=[started[i] for i in untrained],
            progress=progress,
        )
        unscored = [run for i in chunk if (run := started[i]) is not None and i not in untrained]
        begin = time.perf_counter()
        _score_all([run for run in [*unscored, *trained] if run.status == "done"], scoring)
        seconds = done.scoring_seconds + time.perf_counter() - begin
        done = done._replace(trained=done.trained + len(chunk), scoring_seconds=seconds)
        on_progress(done)
    return done


def _score_all(done: Sequence[Run], scoring: Scoring) -> None:
    """Score runs; of points on every core at once, since sorting projections takes most of it and one core each."""
    workers = 1 if scoring.features else min(len(done), os.cpu_count() or 1)
    if workers <= 1:
        for run in done:
            score(run, scoring)
        return
    # One run of each dataset goes first: it computes the floor of the dataset, which workers that start on it together
    # would each compute again.
    first = {run.config.dataset: run for run in reversed(done)}
    ordered = sorted(done, key=lambda run: run is not first[run.config.dataset])
    pool = ThreadPoolExecutor(workers, thread_name_prefix="toylab-score")
    try:
        list(pool.map(lambda run: score(run, scoring), ordered))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C the rest is not waited for


def score(run: Run, scoring: Scoring) -> None:
    """Evaluate a saved run and write the scores into its folder; null where samples are not finite.

    Every run is scored with the same noise.
    """
    assert run.path is not None
    if scoring.features:
        write_scores(run.path, final_image_scores(run, scoring.features, scoring.n, scoring.num_keys))
        return
    write_scores(run.path, evaluate(run, scoring.names, n=scoring.n, num_keys=scoring.num_keys))


def plan_chunks(groups: Sequence[Sequence[int]], lanes: int | None) -> list[Sequence[int]]:
    """What trains together, in order: the groups in chunks of at most ``lanes``, by default 8 per device."""
    largest = lanes or LANES_PER_DEVICE * jax.local_device_count()
    return [chunk for group in groups for chunk in equal_chunks(group, largest)]


def equal_chunks(items: Sequence[int], largest: int) -> list[Sequence[int]]:
    """As few chunks of at most ``largest`` as possible, of one size but the last: each size recompiles.

    >>> [len(chunk) for chunk in equal_chunks(range(18), 16)]
    [9, 9]
    """
    size = -(-len(items) // -(-len(items) // largest))
    return [items[start : start + size] for start in range(0, len(items), size)]
