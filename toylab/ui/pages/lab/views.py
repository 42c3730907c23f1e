"""The views of a run beside the live squares: more steps, trajectories, the velocity field.

Each is computed once per state of a run, on the worker (`session.compute`), and only for a run that stands still.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from toylab.ui import session
from toylab.ui.jobs import JobState, TrainingJob
from toylab.ui.pages.lab import view_field, view_paths, view_steps
from toylab.ui.pages.lab.view_base import Shown
from toylab.ui.runs import stored

if TYPE_CHECKING:
    from toylab.training import Run

LIVE, STEPS, PATHS, FIELD = VIEWS = ("One step", "More steps", "Trajectories", "Field")
MODULES = {STEPS: view_steps, PATHS: view_paths, FIELD: view_field}
"""Each has `compute(runs)`, for the worker, and `view(content)`, which shows what that gave."""


class Source(NamedTuple):
    """Where a view gets its runs: ``runs`` gives (chosen, baseline), on the worker; ``key`` names their state."""

    key: Hashable
    runs: "Callable[[], Sequence[Run]]"


def control() -> None:
    """The choice of the view, above the squares."""
    with st.container(key="view_bar"):
        st.segmented_control(
            "View",
            VIEWS,
            default=LIVE,
            key="view",
            label_visibility="collapsed",
            required=True,
            bind="query-params",
        )


def source(job: TrainingJob | None) -> Source | str:
    """The runs to look at, or one line that says why there are none; without a job those that come with the app."""
    if job is None:
        return Source("stored", stored.first_runs)
    if job.active and job.snapshot.state is not JobState.PAUSED:
        return "Pause or finish to see this."
    if job.snapshot.samples is None or job.snapshot.state is JobState.FAILED:
        return "This run has nothing to show: it ended before its first step."
    return Source((job.id, job.snapshot.step), job.runs)


def shown(where: Source | str) -> Shown | None:
    """The chosen view of the runs at ``where``; None for the live squares."""
    name = st.session_state.get("view") or LIVE
    if name == LIVE:
        return None
    if isinstance(where, str):
        return Shown(where)
    module = MODULES[name]
    future = session.compute(f"view {name}", where.key, lambda: module.compute(where.runs()))
    if not future.done():
        return Shown("Computing this view; a few seconds the first time.", pending=True)
    if future.cancelled():
        return Shown("This view was not computed; choose it again.")
    error = future.exception()
    if isinstance(error, ValueError):
        return Shown(str(error).split("\n", 1)[0])
    if error is not None:
        # What nobody foresaw is for the guard of the page, which tells it where the view would be.
        return Shown("", partial(_raise, error))
    return module.view(future.result())


def _raise(error: BaseException) -> None:
    raise error


STYLE = """
.st-key-stage { position: relative; }
.st-key-view_bar { position: absolute; top: -0.1rem; right: 0; width: auto; z-index: 2; }
.st-key-view_bar button { min-height: 1.8rem; padding: 0.1rem 0.6rem; }
.st-key-view_bar button p { font-size: 0.85rem; }
.st-key-view_steps, .st-key-view_field { gap: 1.1rem; }
.st-key-view_few { flex: 0 1 auto !important; width: auto !important; }
.st-key-view_few .stHorizontalBlock { gap: 0.6rem; }
.st-key-view_steps .stVerticalBlock, .st-key-view_field .stVerticalBlock { gap: 0.25rem; }
.st-key-view_steps p, .st-key-view_field p { font-variant-numeric: tabular-nums; font-size: 0.92rem; }
/* As the live squares: shrunk as pictures, so that they keep their aspect. */
.st-key-view_few div, .st-key-view_field div { max-width: 100%; }
.st-key-view_few :is(canvas, svg), .st-key-view_field :is(canvas, svg) { max-width: 100%; height: auto !important; }
.st-key-view_time { max-width: 866px; margin-top: -0.2rem; }
.st-key-view_time p { font-size: 0.88rem; white-space: nowrap; }
.st-key-view_time > div:not(:has(.stSlider)) { width: auto !important; flex: 0 0 auto !important; }
.st-key-view_time [data-testid="stSliderTickBar"] { display: none; }
@media (max-width: 960px) { .st-key-view_bar { position: static; } }
@media (max-width: 640px) {
  .st-key-view_steps { flex-wrap: wrap; }
  .st-key-view_steps > div { flex: 1 1 100% !important; width: 100% !important; }
  .st-key-view_bar button { padding: 0.1rem 0.4rem; }
}
"""
