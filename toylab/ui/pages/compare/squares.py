"""Samples of runs in the plane: what the worker computes of them, and squares of samples over their data."""

import math
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from jaxtyping import Float

from toylab.ui import scene, settings
from toylab.ui.charts import curves, theme
from toylab.ui.charts.compare_charts import LETTERS
from toylab.ui.runs.entry import Entry, Number, Numbers
from toylab.ui.text import plain
from toylab.ui.widgets.work import Task, result

if TYPE_CHECKING:  # takes a second to import: not before the first page is drawn
    from toylab.training import Run

METRIC = "sliced_w1"
NUM_KEYS = 4
"""Independent pairs of samples and data behind a score."""
SHOWN_SEED, SHOWN_SAMPLES = 0, 4096
"""Noise of the samples that are drawn: those that a run folder holds, so that an import shows the same ones."""
MAX_DRAWN = 1500
"""Dots of a square."""
WIDE, NARROW = 392, 296
"""Side of a square of samples, for up to three runs and for more."""


def tasks(chosen: Mapping[str, Entry], count: int) -> list[Task]:
    """Samples and then scores of every run whose parameters are here; ``count`` samples behind each key of a score."""
    live = [(entry, entry.run) for entry in chosen.values() if entry.run is not None]
    drawn = [Task(f"samples-{entry.id}", entry.id, partial(_draw, run)) for entry, run in live]
    scored = [
        Task(f"score-{entry.id}", (entry.id, count), partial(_score, run, count))
        for entry, run in live
        if entry.scored
    ]
    return [*drawn, *scored]


def _draw(run: "Run") -> tuple[np.ndarray, np.ndarray]:
    """One set of samples and of data; the same noise for every run."""
    nfe = run.experiment.method.eval_nfe
    samples = run.sample(SHOWN_SAMPLES, nfe=nfe, seed=SHOWN_SEED)
    return samples, run.dataset.sample(MAX_DRAWN, seed=1)


def _score(run: "Run", count: int) -> Number:
    from toylab.evaluation import evaluate  # takes a second to import

    return Number.of_points(evaluate(run, (METRIC,), n=count, num_keys=NUM_KEYS)[METRIC])


def scores(
    chosen: Mapping[str, Entry], done: Mapping[str, Future]
) -> tuple[dict[str, Numbers], dict[str, str]]:
    """id -> scores, and id -> why there are none."""
    found: dict[str, Numbers] = {}
    why: dict[str, str] = {}
    for entry in chosen.values():
        number, problem = result(done.get(f"score-{entry.id}"))
        if number is None:
            why[entry.id] = entry.unscored or problem or "…"
        elif not math.isfinite(number.value):
            why[entry.id] = "samples not finite"
        else:
            found[entry.id] = {METRIC: number}
    return found, why


def draw(chosen: Mapping[str, Entry], done: Mapping[str, Future]) -> None:
    """A square of samples of every run, over its data, all with the same axes."""
    drawn = {letter: _points(entry, done) for letter, entry in chosen.items()}
    frame = _frame([data for _, data, _ in drawn.values()])
    side = WIDE if len(chosen) <= 3 else NARROW
    palette, colours = theme.palette(), theme.series()
    with st.container(key="compare_squares", horizontal=True):
        for letter, (samples, data, note) in drawn.items():
            with st.container(key=f"compare_square_{letter}", width="content"):
                st.markdown(f"{plain(chosen[letter].label, 48)}{f', {note}' if note else ''}")
                curves.square(
                    data[:MAX_DRAWN],
                    samples[:MAX_DRAWN] if samples is not None else None,
                    frame,
                    colours[LETTERS.index(letter)],
                    palette,
                    key=f"compare_square_chart_{letter}",
                    alt=f"One-step samples of run {letter}, {chosen[letter].label}, over its data",
                    side=side,
                )
    packaged = sum(entry.origin == "packaged" for entry in chosen.values())
    noise = (
        "from the same noise"
        if packaged in (0, len(chosen))
        else "from the same noise except the packaged run"
    )
    st.caption(f"The same axes; {noise}. Grey: data.")


def _points(
    entry: Entry, done: Mapping[str, Future]
) -> tuple[Float[np.ndarray, "n 2"] | None, Float[np.ndarray, "m 2"], str]:
    """(samples, data, a note on the samples)."""
    future = done.get(f"samples-{entry.id}")
    data = entry.points.data if entry.points.data is not None else np.zeros((0, 2), np.float32)
    known = entry.config.dataset in settings.dataset_names() and not entry.config.dataset_options
    if not len(data) and known:
        data = scene.packaged_points(entry.config.dataset)
    if future is None:
        samples = entry.points.samples
        missing = "drawing" if entry.run is not None else "no samples in the file"
        return samples, data, missing if samples is None else ""
    found, problem = result(future)
    if found is None:
        return None, data, problem
    samples, data = found
    finite = np.all(np.isfinite(samples), axis=1)
    lost = int(np.count_nonzero(~finite))
    return samples[finite], data, f"{lost:,} of {len(samples):,} not finite" if lost else ""


def _frame(arrays: list[np.ndarray]) -> tuple[float, float, float]:
    """One square that shows all data: centre x, centre y and half its side."""
    arrays = [array for array in arrays if len(array)]
    if not arrays:
        return 0.0, 0.0, 3.0
    low = np.min([np.quantile(array, 0.005, axis=0) for array in arrays], axis=0)
    high = np.max([np.quantile(array, 0.995, axis=0) for array in arrays], axis=0)
    centre, half = (low + high) / 2, float(np.max(high - low)) / 2
    return float(centre[0].round(1)), float(centre[1].round(1)), max(round(half * 1.28, 1), 0.1)
