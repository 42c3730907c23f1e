"""The transport bar: start, pause, step, stop. Outside the live fragment: no click waits for a picture."""

import streamlit as st

from toylab.jobs import JobState, Snapshot, TrainingJob
from toylab.ui import controls, session


def bar() -> None:
    """The buttons as the present state allows them; every one has a key of the keyboard."""
    job = session.job()
    active = job is not None and job.active
    paused = job is not None and job.snapshot.state is JobState.PAUSED
    with st.container(key="transport", horizontal=True, wrap=False):
        if not active:
            st.button("Start", key="go", on_click=_start, type="primary", shortcut="S", width="stretch")
        elif paused:
            st.button("Resume", key="go", on_click=_resume, type="primary", shortcut="S", width="stretch")
        else:
            st.button("Pause", key="go", on_click=_pause, type="primary", shortcut="S", width="stretch")
        st.button(
            "Stop training", key="stop", on_click=_stop, shortcut="X", disabled=not active, width="stretch"
        )
    with st.container(key="steps_bar", horizontal=True, wrap=False):
        for count, key in ((1, "M"), (100, "N")):
            st.button(
                f"Step +{count}",
                key=f"step{count}",
                on_click=_step,
                args=(count,),
                shortcut=key,
                disabled=not active,
                width="stretch",
            )


def retry_button(job: TrainingJob) -> None:
    """After a divergence: the same again with a third of the learning rate."""
    rate = job.snapshot.config.learning_rate / 3
    st.button(f"Retry with learning rate {rate:.1g}", key="retry", on_click=_retry, args=(rate,))


def _start() -> None:
    session.start(controls.config())


def _pause() -> None:
    session.act(TrainingJob.pause, lambda snapshot: snapshot.state is JobState.PAUSED)


def _resume() -> None:
    session.act(TrainingJob.resume, lambda snapshot: snapshot.state is not JobState.PAUSED)


def _stop() -> None:
    job = session.job()
    session.act(TrainingJob.stop, lambda _: job is None or not job.active)


def _step(count: int) -> None:
    job = session.job()
    before = job.snapshot.step if job else 0

    def arrived(snapshot: Snapshot) -> bool:
        return snapshot.state is JobState.PAUSED and snapshot.step >= before + count

    session.act(lambda job: job.advance(count), arrived)


def _retry(rate: float) -> None:
    # The callback runs before the widgets do, so it may move the selector.
    st.session_state["lr"] = rate = min(
        controls.settings.LEARNING_RATES, key=lambda choice: abs(choice / rate - 1)
    )
    session.start(controls.config().replace(learning_rate=rate))
