"""Images: runs of transformers side by side from one noise: samples, scores with floors, curves, settings, cost."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from toylab.ui.pages.images import grids, texts
from toylab.ui.runs import files, shelf, stored
from toylab.ui.runs.comparison import differences, finding
from toylab.ui.runs.entry import EVALUATIONS, Entry, Numbers
from toylab.ui.text import plain
from toylab.ui.widgets import choosing, histories, tables, work
from toylab.ui.widgets.parts import heading

TITLE = "Images"
ORDER = 45

PAGE = "images"
"""Beginning of the keys."""
FIRST_SEED = 0
"""Seed of the packaged runs that the page starts with."""
TITLES = {
    "loss": "Loss",
    "grad_variance": "Gradient variance",
    "sw1": "Sliced W1 of the pixels",
    "grad_norm": "Gradient norm",
    "beta": "β",
}
"""Columns of a history that have a title here; other columns are drawn under their own names."""
HIDDEN = {"learning_rate"}
"""A schedule is a setting, not a measurement."""
MAX_CURVES = 12
"""A history from outside may have any number of columns."""


def render() -> None:
    """Draw the page."""
    with st.container(key=PAGE):
        heading(TITLE, "The same engine on a transformer: what β does to handwritten digits, from one noise")
        packaged, own = stored.image_entries(), files.folders()
        first = [entry.id for entry in packaged if entry.config.seed == FIRST_SEED]
        with st.container(key="images_controls", horizontal=True, vertical_alignment="bottom"):
            chosen = choosing.choose(PAGE, [*packaged, *own, *shelf.entries("images")], first)
            choosing.importer(PAGE, "images")
        if not own:
            st.caption(
                f"Runs of yours in {files.RUNS}/ can be chosen here too: "
                f"`toylab train digits-dit-tiny --beta 0.25 --out {files.RUNS}/digits`."
            )
        choosing.notice(PAGE)
        nfe = _evaluations()
        if not chosen:
            st.markdown("Choose at least one run.")
            return
        work.poll(partial(_work, chosen, nfe), partial(_results, nfe))


def _evaluations() -> int:
    """The number of network evaluations per sample; the address may give it."""
    nfe = st.segmented_control(
        "Network evaluations per image",
        EVALUATIONS,
        default=EVALUATIONS[0],
        format_func=lambda count: "1 (one step)" if count == 1 else str(count),
        key="images_nfe",
        bind="query-params",
        required=True,
    )
    return nfe if nfe in EVALUATIONS else EVALUATIONS[0]


class Found(NamedTuple):
    """What is known so far.

    Args:
        runs: letter -> run, of the folders that were read and could be.
        problems: letter -> why it cannot be shown, in one line.
        done: name -> future of what has ended.
        complete: whether nothing is to come.
    """

    runs: dict[str, Entry]
    problems: dict[str, str]
    done: dict[str, Future]
    complete: bool


def _work(chosen: Mapping[str, Entry], nfe: int) -> Found:
    """Read the chosen folders, then draw, count and score what did not come with a run."""
    folders = {letter: entry for letter, entry in chosen.items() if entry.unread is not None}
    reading = work.advance(
        work.Task(
            f"image-read-{entry.id}",
            entry.unread.stamp,
            partial(files.read_folder, entry.unread.path, "images", entry.id, "folder", entry.label),
        )
        for entry in folders.values()
        if entry.unread is not None
    )
    runs, problems = {}, {}
    for letter, entry in chosen.items():
        if letter not in folders:
            runs[letter] = entry
        elif (future := reading.done.get(f"image-read-{entry.id}")) is not None:
            read, problem = work.result(future)
            if read is None:
                problems[letter] = problem
            else:
                runs[letter] = read
    if not reading.complete:
        return Found(runs, problems, {}, False)
    done, complete = work.advance(grids.tasks(runs, nfe))
    return Found(runs, problems, done, complete)


def _results(nfe: int, found: Found) -> None:
    """Everything below the controls, as it arrives."""
    runs, done = found.runs, found.done
    for letter, problem in found.problems.items():
        st.error(f"{letter} cannot be shown: {plain(problem, 300)}")
    if not runs:
        if not found.problems:
            st.markdown("Reading the run folders.")
        return
    scores, why = grids.known_scores(runs, nfe, done)
    measured = next((scores[entry.id] for entry in runs.values() if entry.id in scores), None)
    measures = texts.measures(measured or {})
    baseline = next(iter(runs))
    apart = []
    if found.complete and len(runs) > 1:  # over some of the seeds differences would be others
        apart, _ = differences(
            runs,
            _known(runs, nfe, scores),
            baseline,
            [each.name for each in measures],
            stored.image_entries(),
        )
    grids.panels(runs, nfe, done, scores)
    st.markdown(f"{texts.reading(runs, nfe)} {finding(apart, runs, measures[0].name)}")
    st.subheader("Scores", anchor=False)
    last = [texts.floor_row(measured)] if measured is not None else []
    tables.scores(PAGE, runs, scores, why, measures, last=last)
    if measured is not None:
        st.caption(texts.score_caption(measured, nfe))
    tables.differences(PAGE, runs, apart, measures, others=True)
    st.subheader("Training curves", anchor=False)
    histories.draw(PAGE, runs, columns([entry.history for entry in runs.values()]))
    _curves_caption(runs)
    st.subheader("Settings and cost", anchor=False)
    tables.settings(PAGE, runs, baseline)
    _costs(grids.known_costs(runs, done))


def _known(runs: Mapping[str, Entry], nfe: int, scores: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """id -> scores of the chosen runs and of the packaged ones, whose seeds count in the pairs."""
    return {
        entry.id: entry.images.scores[nfe] for entry in stored.image_entries() if nfe in entry.images.scores
    } | dict(scores)


def columns(tables: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Columns of which some history has values -> title, known ones first; no floors, no schedule, beta if it moves."""
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    order = [name for name in TITLES if name in names] + [name for name in names if name not in TITLES]
    seen = [name for name in order if name not in HIDDEN and not name.endswith(histories.FLOOR)]
    measured = [name for name in seen if _is_measured(tables, name)][:MAX_CURVES]
    return {name: TITLES.get(name, name.replace("_", " ")) for name in measured}


def _is_measured(tables: Sequence[pd.DataFrame], name: str) -> bool:
    found = [histories.rows_of(table, name)["value"].to_numpy() for table in tables]
    return any(len(values) and (name != "beta" or np.ptp(values) > 0) for values in found)


def _curves_caption(runs: Mapping[str, Entry]) -> None:
    weighted = any(entry.config.adaptive_power == 1 for entry in runs.values())
    adaptive = "Adaptive weighting divides the loss by nearly itself, so it stays near 1 and says little. "
    st.caption(
        (adaptive if weighted else "")
        + "Loss and gradient norm: means since the point before. Gradient variance: "
        "the trace of the covariance of a batch's gradient, from 8 batches. Sliced W1: one set of samples in the "
        "method's own number of evaluations."
    )


def _costs(lines: Mapping[str, str]) -> None:
    """The cost of every run, equal ones in one line."""
    groups: dict[str, list[str]] = {}
    for letter, line in lines.items():
        groups.setdefault(line, []).append(letter)
    for line, letters in groups.items():
        st.markdown(f"**{', '.join(letters)}**: {line}.")
    st.caption(
        "Operations are multiplications and additions that XLA counts in the program, from shapes (`toylab inspect`)."
    )


STYLE = f"""{tables.sheet(PAGE)}
.st-key-images_grids {{
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 1rem; align-items: start;
}}
.st-key-images_grids > div {{ width: 100%; min-width: 0; }}
.st-key-images_grids img {{ width: 100%; image-rendering: pixelated; border-radius: 3px; }}
.st-key-images_grid_real p {{ padding-bottom: 4px; }}
.st-key-images_grids p {{ font-size: 0.92rem; font-variant-numeric: tabular-nums; }}
{histories.tags("images_grid_")}"""
