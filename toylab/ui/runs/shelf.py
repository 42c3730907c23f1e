"""A tab's finished runs: kept in the process, at most twelve, and gone with the tab."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from toylab.config import RunConfig
from toylab.ui import session
from toylab.ui.jobs import JobState, TrainingJob

if TYPE_CHECKING:
    from toylab.training import Run
    from toylab.ui.runs.image_entries import ImageEntry
    from toylab.ui.runs.importing import Imported

MAX_RUNS = 12
"""Runs of one tab; the oldest makes room."""
MAX_IMAGES = 4
"""Imported runs on images of one tab: their nets are larger."""
GRACE_SECONDS = 90.0
"""A lost network looks like a closed tab: what a tab owns outlives it by so much, and it finds it again."""
GATHERED_SLOTS = ("lab", "race")
"""Jobs whose lanes are kept as they end. A sweep has more cells than the shelf has places: its page keeps some."""


@dataclass(frozen=True)
class Finished:
    """A run on the shelf.

    Attributes:
        id: names it within the tab.
        label: one line for people.
        run: the run; ``run.status`` says whether it is done: an unfinished or diverged one is never scored.
        origin: where it comes from: lab, race, sweep or imported.
    """

    id: str
    label: str
    run: "Run"
    origin: str


@dataclass
class Shelf:
    """The runs of one tab, oldest first; any thread may call it."""

    owner: str = ""
    released_at: float | None = None
    _runs: dict[str, Finished] = field(default_factory=dict)
    _imports: dict[str, "Imported"] = field(default_factory=dict)
    _images: dict[str, "ImageEntry"] = field(default_factory=dict)
    _jobs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def keep(self, run: "Run", label: str, origin: str) -> Finished:
        """Put a run on the shelf; one that is there already counts as the newest and keeps its id."""
        with self._lock:
            there = next((kept for kept in self._runs.values() if _same(kept.run, run)), None)
            if there is not None:
                self._runs[there.id] = self._runs.pop(there.id)
                return there
            kept = Finished(secrets.token_hex(4), label, run, origin)
            self._runs[kept.id] = kept
            while len(self._runs) > MAX_RUNS:
                self._runs.pop(next(iter(self._runs)))
            return kept

    def keep_import(self, imported: "Imported") -> str:
        """Put what came from a file without parameters beside the runs; its id."""
        with self._lock:
            import_id = secrets.token_hex(4)
            self._imports[import_id] = imported
            while len(self._imports) > MAX_RUNS:
                self._imports.pop(next(iter(self._imports)))
            return import_id

    def imports(self) -> tuple[tuple[str, "Imported"], ...]:
        """What came from files without parameters, with ids, oldest first."""
        with self._lock:
            return tuple(self._imports.items())

    def keep_image(self, entry: "ImageEntry") -> None:
        """Put an imported run on images beside the others."""
        with self._lock:
            self._images[entry.id] = entry
            while len(self._images) > MAX_IMAGES:
                self._images.pop(next(iter(self._images)))

    def images(self) -> "tuple[ImageEntry, ...]":
        """Imported runs on images, oldest first."""
        with self._lock:
            return tuple(self._images.values())

    def keep_job(self, job: TrainingJob, origin: str) -> None:
        """Keep the lanes of a job that has ended, once: what was dropped since does not come back."""
        with self._lock:
            if job.id in self._jobs:
                return
            # The baseline before the chosen lane, as on the stage: the first of a comparison is its baseline.
            runs = reversed(job.runs()) if origin == "lab" else job.runs()
            self._jobs[job.id] = tuple(self.keep(run, label_of(run), origin).id for run in runs)

    def of(self, job: TrainingJob | None) -> tuple[Finished, ...]:
        """The lanes of ``job`` that are still on the shelf."""
        with self._lock:
            ids = self._jobs.get(job.id, ()) if job is not None else ()
            return tuple(self._runs[run_id] for run_id in ids if run_id in self._runs)

    def finished(self) -> tuple[Finished, ...]:
        """All runs, oldest first."""
        with self._lock:
            return tuple(self._runs.values())

    def get(self, run_id: str) -> Finished | None:
        """The run of that id, None where there is none."""
        with self._lock:
            return self._runs.get(run_id)

    def drop(self, run_id: str) -> None:
        """Take a run off the shelf, if it is there."""
        with self._lock:
            self._runs.pop(run_id, None)
            self._imports.pop(run_id, None)


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
            empty = not (shelf.finished() or shelf.imports() or shelf.images())
            if empty or now > released + GRACE_SECONDS:
                del self._shelves[shelf_id]


shelves = Shelves()


@st.cache_resource(scope="session", on_release=shelves.release, show_spinner=False)
def _owner() -> str:
    return secrets.token_hex(16)


def _mine() -> Shelf:
    # Only the name of the shelf is in the session's state: it outlives a lost connection, as the token does not.
    return shelves.claim(st.session_state.setdefault("shelf", secrets.token_hex(16)), _owner())


def keep(run: "Run", label: str, origin: str) -> Finished:
    """Put a run on this tab's shelf."""
    return _mine().keep(run, label, origin)


def finished() -> tuple[Finished, ...]:
    """This tab's runs, oldest first."""
    return _mine().finished()


def get(run_id: str) -> Finished | None:
    """This tab's run of that id."""
    return _mine().get(run_id)


def drop(run_id: str) -> None:
    """Take a run off this tab's shelf."""
    _mine().drop(run_id)


def keep_import(imported: "Imported") -> str:
    """Put what came from a file without parameters on this tab's shelf; its id."""
    return _mine().keep_import(imported)


def imports() -> tuple[tuple[str, "Imported"], ...]:
    """What came from files without parameters, with ids, oldest first."""
    return _mine().imports()


def keep_image(entry: "ImageEntry") -> None:
    """Put an imported run on images on this tab's shelf."""
    _mine().keep_image(entry)


def images() -> "tuple[ImageEntry, ...]":
    """Imported runs on images, oldest first."""
    return _mine().images()


def of(job: TrainingJob | None) -> tuple[Finished, ...]:
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


def label_of(run: "Run") -> str:
    """A run in one line: two_gaussians β = 1, ema, seed 0."""
    config = run.config
    if run.changes:
        first = min(change.step for change in run.changes)
        return f"{name_of(config)}, changed from step {first:,} on"
    return name_of(config)


def name_of(config: RunConfig) -> str:
    """Settings in one line, those that tell most runs apart."""
    if config.method == "meanflow":
        beta = f"β = {config.beta:g}" if config.coefficient == "constant" else f"β {config.coefficient}"
        parts = [f"{config.dataset} {beta}", config.proxy]
        parts += [f"target {config.target}"] if config.target != "conditional" else []
    else:
        parts = [f"{config.dataset} {config.method}"]
    return ", ".join([*parts, f"seed {config.seed}"]).replace("batch_posterior", "batch posterior")


def _same(one: "Run", other: "Run") -> bool:
    """Whether two runs are one and the same: equal settings and changes lead to equal parameters."""
    return (one.config, one.step, one.changes, one.status) == (
        other.config,
        other.step,
        other.changes,
        other.status,
    )
