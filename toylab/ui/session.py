"""State of one browser tab besides the widgets' values: its jobs, computations, notices, and messages between pages.

Widgets keep their values in `st.session_state` under their own keys (``beta``, ``maps_r``, ``lane0_proxy``). Everything
else that outlives a script run goes through this module.
"""

import os
import secrets
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from toylab.config import RunConfig
from toylab.ui import scene
from toylab.ui.jobs import AbstractJob, JobManager, JobState, TrainingJob, chores, with_baseline

ACT_SECONDS = 0.4
"""How long a click waits for the worker, so that the page is drawn in the new state at once."""
SLOTS = ("lab", "race", "sweep")
"""Where a tab may have a job: one per page that trains."""
JOB_PARAMETER = "run"
"""Query parameter with the ID of the job: a tab that is reloaded finds its run again."""

# Names for `first_time` and `leave` that more than one module uses.
ADDRESS_READ = "address_read"
RACE_LOAD = "race_load"

_NOTICE, _COMPUTATIONS, _PAGES, _WARM = "notice", "computations", "pages", "warm"

T = TypeVar("T")


@cache
def manager() -> JobManager:
    """The job manager of this process."""
    return JobManager()


def _release(token: str) -> None:
    manager().release(token)


@st.cache_resource(scope="session", on_release=_release, show_spinner=False)
def _token() -> str:
    return secrets.token_hex(16)


# Jobs.


def job(slot: str = "lab") -> Any:
    """This tab's job in ``slot``, or None; adopted again after a lost connection or a reload of the page."""
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


def _place(slot: str) -> str:
    return f"{slot}_job"


def start(config: RunConfig) -> None:
    """Train ``config`` in the lab beside its baseline, or leave a notice that says why not."""
    submit(lambda: TrainingJob(with_baseline(config), "lab", needed=[0]))


def submit(make: Callable[[], AbstractJob]) -> None:
    """Queue the job that ``make`` makes, or leave a notice that says why not."""
    st.session_state.pop(_NOTICE, None)
    try:
        made = manager().submit(make(), _token())
    except ValueError as error:
        st.session_state[_NOTICE] = str(error)
    else:
        st.session_state[_place(made.slot)] = made
        st.query_params[JOB_PARAMETER] = made.id


def act(
    request: Callable[[Any], None], expect: Callable[[Any], bool] | None = None, *, slot: str = "lab"
) -> None:
    """Send a request to the job in ``slot``, and wait briefly until a snapshot is as ``expect`` says."""
    current = job(slot)
    if current is None or not current.active:
        return
    st.session_state.pop(_NOTICE, None)
    try:
        request(current)
    except ValueError as error:
        st.session_state[_NOTICE] = str(error)
        return
    if expect is not None:
        current.wait_for(lambda snapshot: expect(snapshot), ACT_SECONDS)


def notice() -> str:
    """Why the last request failed, in one line, or nothing."""
    return st.session_state.get(_NOTICE, "")


def is_live(current: AbstractJob | None) -> bool:
    """Whether a job trains or waits to train, so that its picture changes."""
    return current is not None and current.active and current.state is not JobState.PAUSED


def warm_up(config: RunConfig) -> None:
    """Compile for these settings while the worker is idle; TOYLAB_WARM_UP=0 switches it off."""
    if os.environ.get("TOYLAB_WARM_UP") == "0":
        return
    # Only what shapes the program: a new beta or seed compiles nothing.
    shape = (scene.program(config), config.batch_size, config.proxy, config.p_equal, config.width)
    current = job()
    if st.session_state.get(_WARM) != shape and not (current and current.active):
        st.session_state[_WARM] = shape
        manager().when_idle(*chores(config))


# Computations.


def compute(slot: str, key: Hashable, task: Callable[[], T]) -> "Future[T]":
    """``task()`` on the worker thread, once per ``key``; another key replaces the last computation in ``slot``.

    Poll it: a page never waits for the worker. Where too many computations wait, the future holds that error.
    """
    made = st.session_state.setdefault(_COMPUTATIONS, {})
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
        made.pop(slot, None)  # so that the next poll asks again
        return future
    made[slot] = (key, future)
    return future


def known(slot: str, key: Hashable, result: T) -> "Future[T]":
    """A computation in ``slot`` whose result is there already."""
    made = st.session_state.setdefault(_COMPUTATIONS, {})
    if made.get(slot, (None, None))[0] != key:
        future = Future()
        future.set_result(result)
        made[slot] = (key, future)
    return made[slot][1]


# Messages between pages, and from a fragment to its page.


def first_time(name: str) -> bool:
    """Whether this tab asks for ``name`` for the first time."""
    first = not st.session_state.get(name)
    st.session_state[name] = True
    return first


def leave(name: str, message: Any) -> None:
    """Leave a message that the next `collect` of ``name`` takes."""
    st.session_state[name] = message


def collect(name: str, default: Any = None) -> Any:
    """Take the message that was left under ``name``, or ``default``."""
    return st.session_state.pop(name, default)


# Navigation.


def set_pages(pages: Mapping[str, StreamlitPage]) -> None:
    """Make the pages of the app known to `show_page`; the router does so in every run."""
    st.session_state[_PAGES] = dict(pages)


def has_page(name: str) -> bool:
    """Whether the app has this page."""
    return name in st.session_state[_PAGES]


def show_page(name: str, query: Mapping[str, str] = MappingProxyType({})) -> None:
    """Show another page, with these parameters in its address.

    From the script of a page, never from a fragment: the browser would get a page that it cannot draw, and go blank.
    """
    st.switch_page(st.session_state[_PAGES][name], query_params=dict(query))
