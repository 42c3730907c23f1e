"""Computations of a page on the worker thread; until the session offers them, at once and in place."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TypeVar

from toylab.ui import session

T = TypeVar("T")


def compute(slot: str, key: Hashable, task: Callable[[], T]) -> Future:
    """The future of ``task()``, run once per key; a new key in the same slot replaces the old one."""
    on_worker = getattr(session, "compute", None)
    if on_worker is not None:
        return on_worker(slot, key, task)
    future: Future = Future()
    try:
        future.set_result(task())
    except Exception as error:
        future.set_exception(error)
    return future
