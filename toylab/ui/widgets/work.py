"""Computations of a page on the worker thread: one after another, polled, drawn as they arrive."""

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from typing import Any, NamedTuple

import streamlit as st

from toylab.storage.cache import report_internal
from toylab.ui import session
from toylab.ui.jobs import QueueFull
from toylab.ui.widgets.parts import guarded

POLL_SECONDS = 0.5


class Task(NamedTuple):
    """A computation.

    Args:
        name: its slot in the tab: another key takes the place of the last one.
        key: of what it depends on.
        run: computes it.
    """

    name: str
    key: Hashable
    run: Callable[[], Any]


class Work(NamedTuple):
    """What the worker has done so far.

    Args:
        done: name -> future of what has ended.
        complete: whether nothing is to come.
    """

    done: dict[str, Future]
    complete: bool


def advance(tasks: Iterable[Task]) -> Work:
    """Queue the first task that has not ended, and return what has; one at a time, since other tabs wait too."""
    done: dict[str, Future] = {}
    for task in tasks:
        future = session.compute(*task)
        if not future.done() or future.cancelled() or isinstance(future.exception(), QueueFull):
            return Work(done, False)  # where the queue was full, the next poll asks again
        done[task.name] = future
    return Work(done, True)


def result(future: Future | None) -> tuple[Any, str]:
    """(result, "") or (None, one line that says why there is none)."""
    if future is None:
        return None, ""
    error = future.exception()
    if error is None:
        return future.result(), ""
    if isinstance(error, (ValueError, FileNotFoundError)):
        return None, str(error).split("\n", 1)[0]
    if not hasattr(error, "told"):  # reported once, not with every drawing
        error.told = report_internal(error)  # type: ignore[attr-defined]
    return None, error.told  # type: ignore[attr-defined]


def poll(work: Callable[[], Any], draw: Callable[[Any], None]) -> None:
    """Draw what ``work()`` says, again and again until it is complete.

    Args:
        work: queues what is to be done; what it returns has a field ``complete``.
        draw: is given that.
    """
    pending = not work().complete
    st.fragment(_polled, run_every=POLL_SECONDS if pending else None)(work, draw, pending)


@guarded
def _polled(work: Callable[[], Any], draw: Callable[[Any], None], pending: bool) -> None:
    found = work()
    if pending and found.complete:
        st.rerun(scope="app")  # from now on without the timer
    draw(found)
