"""Waiting for the worker in a dialog: the reader sees that, and may leave at any moment."""

import time
from concurrent.futures import Future
from typing import TypeVar

import streamlit as st

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""The worker may be compiling for somebody else."""
LOOK_SECONDS = 0.1


class Busy(ValueError):
    """The worker did not come to it in time; the message says so in one line."""


def wait(future: "Future[T]", text: str) -> T:
    """The result of ``future``, with ``text`` on the page until it is there.

    Every look draws, and a drawing is where Streamlit ends a script whose reader has gone on.

    Raises:
        Busy: it is not there after `PATIENCE_SECONDS`, or was taken back.
        Exception: whatever the task raised.
    """
    line, began = st.empty(), time.monotonic()
    while not future.done():
        waited = time.monotonic() - began
        if waited > PATIENCE_SECONDS:
            future.cancel()
            raise Busy("the machine is busy; try again in a moment")
        line.markdown(f"{text} ({waited:.0f} s)" if waited >= 1 else f"{text}")
        time.sleep(LOOK_SECONDS)
    line.empty()
    if future.cancelled():
        raise Busy("it was taken back; try again")
    return future.result()
