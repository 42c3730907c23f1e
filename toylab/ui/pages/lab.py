"""The lab: train the chosen beta and the baseline side by side, live."""

from functools import partial

import streamlit as st

from toylab.jobs import JobState, TrainingJob
from toylab.ui import (
    address,
    controls,
    downloads,
    saving,
    session,
    share,
    shelf,
    stage,
    stored,
    transport,
)
from toylab.ui.guard import guarded

TITLE = "Lab"
ORDER = 0

RAIL_WIDTH = 292
LIVE_SECONDS = 0.25
"""Time between two pictures while training."""
IDLE_SECONDS = 1.0
"""The same while a run is paused."""


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
    with st.container(key="title"):
        st.title("toylab", anchor=False)
        st.markdown("One-step generative models, trained live")
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
            saving.button(job)
            downloads.button(shelf.of(job))
            share.button()
    else:
        share.button()


def _stage(job: TrainingJob | None) -> None:
    seconds = None
    if job is not None and job.active:
        seconds = LIVE_SECONDS if session.is_live(job) else IDLE_SECONDS
    st.fragment(_live, run_every=seconds)(job.snapshot.state if job is not None else None)


@guarded
def _live(drawn_state: JobState | None) -> None:
    """The one fragment that runs by itself; ``drawn_state`` is what the buttons outside were drawn for."""
    job = session.job()
    wanted = controls.config()
    if job is None:
        shown = stored.first_run()
        if shown.config.dataset == wanted.dataset:
            stage.draw(shown, kind="stored")
        else:
            stage.draw(stage.preview(wanted), kind="preview")
        return
    snapshot = job.snapshot
    if not job.active and snapshot.config.dataset != wanted.dataset:
        stage.draw(stage.preview(wanted), kind="preview")
    else:
        diverged = snapshot.state is JobState.DIVERGED
        offer = partial(transport.retry_button, job) if diverged else None
        stage.draw(snapshot, place=session.manager().place(job), offer=offer)
    if snapshot.state is not drawn_state:
        st.rerun(scope="app")
