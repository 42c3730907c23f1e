"""The transport bar: start, pause, step, stop. Outside the live fragment: no click waits for a picture."""

from collections.abc import Callable

import streamlit as st

from toylab.ui import session, settings
from toylab.ui.jobs import AbstractJob, JobState, Snapshot, TrainingJob
from toylab.ui.widgets import controls


def bar(slot: str = "lab", start: Callable[[], None] | None = None) -> None:
    """The buttons as the present state allows them; every one has a key of the keyboard.

    Args:
        slot: whose job.
        start: what Start does; by default it trains the lab's settings.
    """
    job = session.job(slot)
    active = job is not None and job.active
    paused = job is not None and job.snapshot.state is JobState.PAUSED
    with st.container(key="transport", horizontal=True, wrap=False):
        if not active:
            label, act, arguments = "Start", start or _start, ()
        elif paused:
            label, act, arguments = "Resume", _resume, (slot,)
        else:
            label, act, arguments = "Pause", _pause, (slot,)
        st.button(
            label,
            key="go",
            on_click=act,
            args=arguments,
            type="primary",
            shortcut="S",
            disabled=not active and bool(controls.problem()),
            width="stretch",
        )
        st.button(
            "Stop training",
            key="stop",
            on_click=_stop,
            args=(slot,),
            shortcut="X",
            disabled=not active,
            width="stretch",
        )
    if slot == "sweep":  # a grid has no single step
        return
    with st.container(key="steps_bar", horizontal=True, wrap=False):
        for count, key in ((1, "M"), (100, "N")):
            st.button(
                f"Step +{count}",
                key=f"step{count}",
                on_click=_step,
                args=(slot, count),
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


def _pause(slot: str) -> None:
    session.act(AbstractJob.pause, lambda snapshot: snapshot.state is JobState.PAUSED, slot=slot)


def _resume(slot: str) -> None:
    session.act(AbstractJob.resume, lambda snapshot: snapshot.state is not JobState.PAUSED, slot=slot)


def _stop(slot: str) -> None:
    job = session.job(slot)
    session.act(AbstractJob.stop, lambda _: job is None or not job.active, slot=slot)


def _step(slot: str, count: int) -> None:
    job = session.job(slot)
    before = job.snapshot.step if job else 0

    def arrived(snapshot: Snapshot) -> bool:
        return snapshot.state is JobState.PAUSED and snapshot.step >= before + count

    session.act(lambda job: job.advance(count), arrived, slot=slot)


def _retry(rate: float) -> None:
    # The callback runs before the widgets do, so it may move the selector.
    st.session_state["lr"] = rate = min(settings.LEARNING_RATES, key=lambda choice: abs(choice / rate - 1))
    session.start(controls.config().replace(learning_rate=rate))
