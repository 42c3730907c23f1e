"""What one browser tab owns: its token, a job per slot, computations, and a line to tell the reader."""

import os
import secrets
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

import streamlit as st

from toylab.config import RunConfig
from toylab.ui.jobs import AbstractJob, JobManager, JobState, TrainingJob, with_baseline
from toylab.ui.jobs.warmup import chores
from toylab.ui.widgets import scene

ACT_SECONDS = 0.4
"""How long a click waits for the worker, so that the page is drawn in the new state at once."""

T = TypeVar("T")


@cache
def manager() -> JobManager:
    """The one manager of this process."""
    return JobManager()


def _release(token: str) -> None:
    manager().release(token)


@st.cache_resource(scope="session", on_release=_release, show_spinner=False)
def _token() -> str:
    return secrets.token_hex(16)


SLOTS = ("lab", "race", "sweep")
"""Where a tab may have a job: one per page that trains."""
JOB_PARAMETER = "run"
"""Where the address names the job: a tab that is loaded anew finds its run again."""


def job(slot: str = "lab") -> Any:
    """This tab's job in ``slot``, or None; adopted again if the connection was lost or the page was loaded anew."""
    current = st.session_state.get(_place(slot))
    if current is None and (named := st.query_params.get(JOB_PARAMETER)):
        current = manager().find(named)
        if current is None:  # over, or from another machine
            del st.query_params[JOB_PARAMETER]
        elif current.slot != slot:
            current = None
        else:
            st.session_state[_place(slot)] = current
    if current is not None and (current.owner != _token() or current.orphaned_at is not None):
        manager().adopt(current, _token())
    return current


def start(config: RunConfig) -> None:
    """Train ``config`` in the lab beside its baseline, or leave a notice that says why not."""
    submit(lambda: TrainingJob(with_baseline(config), "lab", needed=[0]))


def submit(make: Callable[[], AbstractJob]) -> None:
    """Queue the job that ``make`` makes, or leave a notice that says why not."""
    st.session_state.pop("notice", None)
    try:
        made = manager().submit(make(), _token())
    except ValueError as error:
        st.session_state["notice"] = str(error)
    else:
        st.session_state[_place(made.slot)] = made
        st.query_params[JOB_PARAMETER] = made.id


def act(
    wish: Callable[[Any], None], expect: Callable[[Any], bool] | None = None, *, slot: str = "lab"
) -> None:
    """Tell the job of ``slot`` what is wished, and wait a moment until it shows."""
    current = job(slot)
    if current is None or not current.active:
        return
    st.session_state.pop("notice", None)
    try:
        wish(current)
    except ValueError as error:
        st.session_state["notice"] = str(error)
        return
    if expect is not None:
        current.wait_for(lambda snapshot: expect(snapshot), ACT_SECONDS)


def compute(slot: str, key: Hashable, task: Callable[[], T]) -> "Future[T]":
    """``task()`` on the worker thread, once per ``key``; another key takes the place of the last one in ``slot``.

    Poll it: a page never waits for the worker. Where too many computations wait the future holds that error.
    """
    made = st.session_state.setdefault("computations", {})
    known, future = made.get(slot, (None, None))
    if known == key and future is not None and not future.cancelled():
        return future
    if future is not None:
        future.cancel()
    try:
        future = manager().compute(task)
    except ValueError as error:
        future = Future()
        future.set_exception(error)
        made.pop(slot, None)  # so that the next look asks again
        return future
    made[slot] = (key, future)
    return future


def known(slot: str, key: Hashable, result: T) -> "Future[T]":
    """A computation of ``slot`` whose result is there already."""
    made = st.session_state.setdefault("computations", {})
    if made.get(slot, (None, None))[0] != key:
        future = Future()
        future.set_result(result)
        made[slot] = (key, future)
    return made[slot][1]


def _place(slot: str) -> str:
    return f"{slot}_job"


def notice() -> str:
    """One line that the page should show, or nothing."""
    return st.session_state.get("notice", "")


def warm_up(config: RunConfig) -> None:
    """Compile for these settings in quiet moments; TOYLAB_WARM_UP=0 switches it off."""
    if os.environ.get("TOYLAB_WARM_UP") == "0":
        return
    # Only what shapes the program: a new beta or seed compiles nothing.
    shape = (scene.program(config), config.batch_size, config.proxy, config.p_equal, config.width)
    current = job()
    if st.session_state.get("warm") != shape and not (current and current.active):
        st.session_state["warm"] = shape
        manager().when_idle(*chores(config))


def is_live(current: AbstractJob | None) -> bool:
    """Whether the picture moves."""
    return current is not None and current.active and current.state is not JobState.PAUSED
