"""What one browser tab owns: its token, its job, and a line to tell the reader."""

import os
import secrets
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import streamlit as st

from toylab.config import RunConfig
from toylab.jobs import Job, JobManager, JobState, Snapshot
from toylab.jobs.warmup import chores

T = TypeVar("T")

ACT_SECONDS = 0.4
"""How long a click waits for the worker, so that the page is drawn in the new state at once."""


@cache
def manager() -> JobManager:
    """The one manager of this process."""
    return JobManager()


def _release(token: str) -> None:
    manager().release(token)


@st.cache_resource(scope="session", on_release=_release, show_spinner=False)
def _token() -> str:
    return secrets.token_hex(16)


JOB_PARAMETER = "run"
"""Where the address names the job: a tab that is loaded anew finds its run again."""


def job(slot: str = "lab") -> Job | None:
    """This tab's job, adopted again if the connection was lost or the page was loaded anew."""
    if slot != "lab":  # stand-in: the other slots come with their pages
        return None
    current = st.session_state.get("job")
    if current is None and (named := st.query_params.get(JOB_PARAMETER)):
        current = manager().find(named)
        if current is None:  # over, or from another machine
            del st.query_params[JOB_PARAMETER]
        else:
            st.session_state["job"] = current
    if current is not None and (current.owner != _token() or current.orphaned_at is not None):
        manager().adopt(current, _token())
    return current


def start(config: RunConfig) -> None:
    """Train ``config``, or leave a notice that says why not."""
    st.session_state.pop("notice", None)
    try:
        started = st.session_state["job"] = manager().submit(config, _token())
        st.query_params[JOB_PARAMETER] = started.id
    except ValueError as error:
        st.session_state["notice"] = str(error)


def act(wish: Callable[[Job], None], expect: Callable[[Snapshot], bool] | None = None) -> None:
    """Tell the job what is wished, and wait a moment until it shows."""
    current = job()
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


def notice() -> str:
    """One line that the page should show, or nothing."""
    return st.session_state.get("notice", "")


def warm_up(config: RunConfig) -> None:
    """Compile for these settings in quiet moments; TOYLAB_WARM_UP=0 switches it off."""
    if os.environ.get("TOYLAB_WARM_UP") == "0":
        return
    # Only what shapes the program: a new beta or seed compiles nothing.
    shape = (config.dataset, config.batch_size, config.proxy, config.p_equal, config.width)
    current = job()
    if st.session_state.get("warm") != shape and not (current and current.active):
        st.session_state["warm"] = shape
        manager().when_idle(*chores(config))


def is_live(current: Job | None) -> bool:
    """Whether the picture moves."""
    return current is not None and current.active and current.state is not JobState.PAUSED


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="toylab-compute")


def compute(slot: str, key: Hashable, task: Callable[[], T]) -> "Future[T]":
    """``task()`` in the background, once per key; a new key takes the slot. Stand-in, to be on the worker."""
    held = st.session_state.setdefault("computed", {})
    if slot not in held or held[slot][0] != key:
        if slot in held:
            held[slot][1].cancel()
        held[slot] = (key, _pool().submit(task))
    return held[slot][1]
