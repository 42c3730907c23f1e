"""Parts that pages share: a heading, the look of a list, an error boundary, and waiting for the worker."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from typing import TypeVar

import streamlit as st
from streamlit.errors import FragmentHandledException

from toylab.storage.cache import report_internal

T = TypeVar("T")

RAIL_WIDTH = 292
"""Width of the column of controls, in pixels."""
PATIENCE_SECONDS = 60.0
"""Longest wait of a dialog for the worker, which may be compiling for another tab."""
LOOK_SECONDS = 0.1

LIST_STYLE = """
[class*="st-key-list_"], [class*="st-key-list_"] .stRadio, [class*="st-key-list_"] .stElementContainer { width: 100%; }
[class*="st-key-list_"] [role="radiogroup"] { gap: 0; width: 100%; }
[class*="st-key-list_"] [role="radiogroup"] > div {
  width: 100%; padding: 0.22rem 0.5rem; border-radius: 6px; box-sizing: border-box;
}
[class*="st-key-list_"] [role="radiogroup"] > div:hover {
  background: color-mix(in srgb, var(--edge) 40%, transparent);
}
[class*="st-key-list_"] [role="radiogroup"] > div:has(label[data-selected]) {
  background: color-mix(in srgb, var(--chosen) 13%, transparent);
}
[class*="st-key-list_"] label { margin: 0; }
[class*="st-key-list_"] [data-testid="stRadioCaption"] { margin: 0; padding: 0; min-width: 0; }
[class*="st-key-list_"] [data-testid="stCaptionContainer"] { opacity: 1; color: var(--faint); }
[class*="st-key-about_"] h2 { font-size: 1.25rem; padding: 0; }
[class*="st-key-about_"] li { margin: 0.1rem 0 0.1rem 1rem; font-size: 0.92rem; }
[class*="st-key-about_"] table { font-size: 0.86rem; font-variant-numeric: tabular-nums; }
[class*="st-key-about_"] td, [class*="st-key-about_"] th { padding: 0.3rem 0.55rem; }
[class*="st-key-about_"] td:first-child { overflow-wrap: anywhere; }
@media (max-width: 640px) {
  [class*="st-key-about_"] table { font-size: 0.8rem; }
  [class*="st-key-about_"] td, [class*="st-key-about_"] th { padding: 0.25rem 0.3rem; }
}
"""


def heading(title: str, line: str) -> None:
    """The page's title, and one line on what the page is for."""
    with st.container(key="title"):
        st.title(title, anchor=False)
        st.markdown(line)


def guarded(draw: Callable[..., None]) -> Callable[..., None]:
    """``draw`` inside an error boundary: an unexpected error is shown where it would have drawn, with an ID.

    The traceback goes to a log file. Streamlit's own exceptions, which stop or rerun a page, pass through.
    """

    @wraps(draw)
    def shown(*arguments, **options) -> None:
        try:
            draw(*arguments, **options)
        except FragmentHandledException:  # a part of the page has shown it already
            return
        except Exception as error:
            st.error(f"This part of the page failed: {report_internal(error)}. Reload the page to go on.")

    return shown


class Busy(ValueError):
    """Raised when the worker did not finish in time, or the task was cancelled."""


def wait(future: "Future[T]", text: str) -> T:
    """The result of ``future``, with ``text`` on the page until it is there.

    Every poll draws, since Streamlit ends the script of a reader who has left the page only where it draws.

    Raises:
        Busy: there is no result after `PATIENCE_SECONDS`, or the task was cancelled.
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
        raise Busy("the computation was cancelled; try again")
    return future.result()
