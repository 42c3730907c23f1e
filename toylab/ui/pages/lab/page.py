"""The lab: train the chosen beta and the baseline side by side, live."""

from functools import partial

import streamlit as st

from toylab.ui import address, scene, session
from toylab.ui.jobs import JobState, Snapshot, TrainingJob, with_baseline
from toylab.ui.pages.lab import stage, views
from toylab.ui.runs import shelf, stored
from toylab.ui.widgets import controls, downloads, links, transport
from toylab.ui.widgets.parts import RAIL_WIDTH, guarded, heading
from toylab.ui.widgets.stage import Kind, preview

TITLE = "Lab"
ORDER = 0

LIVE_SECONDS = 0.25
"""Time between two pictures while training."""
IDLE_SECONDS = 1.0
"""The same while a run is paused."""
POLL_SECONDS = 0.3
"""Time between two looks at a view that is being computed."""

STYLE = views.STYLE


def render() -> None:
    """Draw the page."""
    job = session.job()
    controls.read_address()
    with st.container(key="lab", horizontal=True, wrap=False):
        with st.container(key="rail", width=RAIL_WIDTH):
            _rail(job)
        if not controls.is_settled():
            st.rerun()
        with st.container(key="stage"):
            _stage(job)
    session.warm_up(controls.config())


def _rail(job: TrainingJob | None) -> None:
    heading("toylab", "One-step generative models, trained live")
    transport.bar()
    if notice := session.notice():
        st.error(notice)
    if note := address.note():
        st.info(note)
    controls.dataset_picker()
    controls.beta_slider()
    controls.run_settings()
    if (
        job is not None
        and not job.active
        and job.snapshot.step > 1
        and job.snapshot.state is not JobState.FAILED
    ):
        with st.container(key="keep_bar", horizontal=True, wrap=False):
            downloads.save_button(job)
            downloads.button(shelf.of(job))
            links.share_button()
    else:
        links.share_button()


def _stage(job: TrainingJob | None) -> None:
    views.control()
    seconds = None
    if job is not None and job.active:
        seconds = LIVE_SECONDS if session.is_live(job) else IDLE_SECONDS
    view = _view(job, _scene(job)[1])
    pending = view is not None and view.pending
    if pending:
        seconds = POLL_SECONDS
    st.fragment(_live, run_every=seconds)(job.snapshot.state if job is not None else None, pending)


def _scene(job: TrainingJob | None) -> tuple[Snapshot, Kind]:
    """What there is to show, and what it is of."""
    wanted, problem = controls.config(), controls.problem()
    if job is None:
        kind, shown = "stored", stored.first_run()
    else:
        kind, shown = "job", job.snapshot
        if job.active:
            return shown, kind
    if problem:
        return preview(with_baseline(wanted), problem, controls.own_points()), "preview"
    return (
        (shown, kind)
        if scene.same_data(shown.config, wanted)
        else (preview(with_baseline(wanted)), "preview")
    )


def _view(job: TrainingJob | None, kind: Kind) -> views.Shown | None:
    return views.shown("Press Start: then there is a run to see." if kind == "preview" else views.source(job))


@guarded
def _live(drawn_state: JobState | None, drawn_pending: bool) -> None:
    """The one fragment that runs by itself; ``drawn_...`` is what the buttons and the timer outside were made for."""
    job = session.job()
    snapshot, kind = _scene(job)
    view = _view(job, kind)
    diverged = job is not None and kind == "job" and snapshot.state is JobState.DIVERGED
    stage.draw(
        snapshot,
        place=session.manager().place(job) if job is not None else 0,
        kind=kind,
        offer=partial(transport.retry_button, job) if job is not None and diverged else None,
        view=view,
    )
    pending = view is not None and view.pending
    state = job.snapshot.state if job is not None else None
    if state is not drawn_state or pending is not drawn_pending:
        st.rerun(scope="app")
