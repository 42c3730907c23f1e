"""The finished and imported runs of a browser tab: kept in the process, bounded, and gone with the tab."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import streamlit as st

from toylab.ui import session
from toylab.ui.jobs import JobState, TrainingJob
from toylab.ui.runs.entry import Entry, Kind, entry_of, label_of

if TYPE_CHECKING:  # takes a second to import: not before the first page is drawn
    from toylab.training import Run

MAX_RUNS = 12
"""Runs in the plane of one tab, those with parameters and those without each; the oldest makes room."""
MAX_IMAGES = 4
"""Imported runs on images of one tab: their nets are larger."""
GRACE_SECONDS = 90.0
"""A lost network looks like a closed tab: what a tab owns outlives it by so much, and it finds it again."""
GATHERED_SLOTS = ("lab", "race")
"""Jobs whose lanes are kept as they end. A sweep has more cells than the shelf has places: its page keeps some."""


@dataclass
class Shelf:
    """The runs of one tab, oldest first; any thread may call it."""

    owner: str = ""
    released_at: float | None = None
    _entries: dict[str, Entry] = field(default_factory=dict)
    _jobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def keep(self, run: "Run", label: str, origin: str) -> Entry:
        """Put a run in the plane on the shelf; see `keep_entry`."""
        return self.keep_entry(entry_of(run, label, origin, ""))

    def keep_entry(self, entry: Entry) -> Entry:
        """Put a run on the shelf; one that is there already counts as the newest and keeps its ID."""
        with self._lock:
            alike = self._entries_like(entry)
            there = next((kept for kept in alike if kept.id == entry.id or _same(kept, entry)), None)
            if there is not None:
                self._entries[there.id] = self._entries.pop(there.id)
                return there
            entry = entry if entry.id else replace(entry, id=secrets.token_hex(4))
            self._entries[entry.id] = entry
            bound = MAX_IMAGES if entry.kind == "images" else MAX_RUNS
            for oldest in [*alike, entry][:-bound]:
                self._entries.pop(oldest.id)
            return entry

    def _entries_like(self, entry: Entry) -> list[Entry]:
        """Those that share the bound on their number with ``entry``."""
        found = self.entries(entry.kind)
        if entry.kind == "images":
            return found
        return [kept for kept in found if (kept.run is None) == (entry.run is None)]

    def entries(self, kind: Kind = "points") -> list[Entry]:
        """All runs of a kind, oldest first: those with parameters, then those without."""
        with self._lock:
            found = [entry for entry in self._entries.values() if entry.kind == kind]
        return found if kind == "images" else sorted(found, key=lambda entry: entry.run is None)

    def finished(self) -> tuple[Entry, ...]:
        """The runs in the plane whose parameters are here, oldest first."""
        return tuple(entry for entry in self.entries() if entry.run is not None)

    def keep_job(self, job: TrainingJob, origin: str) -> None:
        """Keep the lanes of a job that has ended, once: what was dropped since does not come back."""
        with self._lock:
            if job.id in self._jobs:
                return
            # The baseline before the chosen lane, as on the stage: the first of a comparison is its baseline.
            runs = reversed(job.runs()) if origin == "lab" else job.runs()
            self._jobs[job.id] = tuple(self.keep(run, label_of(run), origin).id for run in runs)

    def of(self, job: TrainingJob | None) -> tuple[Entry, ...]:
        """The lanes of ``job`` that are still on the shelf."""
        with self._lock:
            ids = self._jobs.get(job.id, ()) if job is not None else ()
            return tuple(self._entries[run_id] for run_id in ids if run_id in self._entries)

    def get(self, run_id: str) -> Entry | None:
        """The run of that ID, None where there is none."""
        with self._lock:
            return self._entries.get(run_id)

    def drop(self, run_id: str) -> None:
        """Take a run off the shelf, if it is there."""
        with self._lock:
            self._entries.pop(run_id, None)

    @property
    def is_empty(self) -> bool:
        """Whether there is no run on it."""
        return not self._entries


class Shelves:
    """The shelves of all tabs of the process.

    Args:
        clock: seconds; replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}
        self._lock = threading.Lock()

    def claim(self, shelf_id: str, owner: str) -> Shelf:
        """The shelf of that id, made where there is none; from now on it is ``owner``'s."""
        with self._lock:
            self._purge()
            shelf = self._shelves.setdefault(shelf_id, Shelf())
            shelf.owner, shelf.released_at = owner, None
            return shelf

    def release(self, owner: str) -> None:
        """The tab has gone: its shelf follows after a grace time."""
        with self._lock:
            for shelf in self._shelves.values():
                if shelf.owner == owner and shelf.released_at is None:
                    shelf.released_at = self._clock()
            self._purge()

    def __len__(self) -> int:
        return len(self._shelves)

    def _purge(self) -> None:
        now = self._clock()
        for shelf_id, shelf in list(self._shelves.items()):
            released = shelf.released_at
            if released is None:
                continue
            if shelf.is_empty or now > released + GRACE_SECONDS:
                del self._shelves[shelf_id]


shelves = Shelves()


@st.cache_resource(scope="session", on_release=shelves.release, show_spinner=False)
def _owner() -> str:
    return secrets.token_hex(16)


def _mine() -> Shelf:
    # Only the name of the shelf is in the session's state: it outlives a lost connection, as the token does not.
    return shelves.claim(st.session_state.setdefault("shelf", secrets.token_hex(16)), _owner())


def keep(run: "Run", label: str, origin: str) -> Entry:
    """Put a run in the plane on this tab's shelf."""
    return _mine().keep(run, label, origin)


def keep_entry(entry: Entry) -> Entry:
    """Put an imported run on this tab's shelf; the one that is there now."""
    return _mine().keep_entry(entry)


def entries(kind: Kind = "points") -> Sequence[Entry]:
    """This tab's runs of a kind, oldest first: those with parameters, then those without."""
    return _mine().entries(kind)


def finished() -> tuple[Entry, ...]:
    """This tab's runs in the plane whose parameters are here, oldest first."""
    return _mine().finished()


def get(run_id: str) -> Entry | None:
    """This tab's run of that ID."""
    return _mine().get(run_id)


def drop(run_id: str) -> None:
    """Take a run off this tab's shelf."""
    _mine().drop(run_id)


def of(job: TrainingJob | None) -> tuple[Entry, ...]:
    """The lanes of a job that are on this tab's shelf."""
    return _mine().of(job)


def gather() -> None:
    """Keep the lanes of this tab's jobs that have ended; called with every drawing of a page."""
    for slot in GATHERED_SLOTS:
        job = session.job(slot)
        # A first step has taught a net nothing; after a failure nothing is asked of the trainer.
        if job is None or job.active or job.snapshot.step <= 1 or job.snapshot.state is JobState.FAILED:
            continue
        _mine().keep_job(job, slot)


def _same(one: Entry, other: Entry) -> bool:
    """Whether two runs with parameters are the same: equal settings and changes lead to equal parameters."""
    told = ((entry.config, entry.step, entry.changes, entry.status) for entry in (one, other))
    return one.run is not None and other.run is not None and next(told) == next(told)
