"""The base class of jobs: requests from any thread, states that only the worker changes, snapshots for viewers.

    QUEUED -> COMPILING -> RUNNING <-> PAUSED -> DONE | STOPPED | DIVERGED | FAILED

An active job whose browser tab has gone reads ORPHANED: it continues for a grace time, and is adopted or stopped.
"""

import dataclasses
import logging
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from toylab.config import RunConfig

PAUSE_SECONDS = 300.0
"""A job paused for longer is stopped: others wait for its place in the queue."""

log = logging.getLogger("toylab.ui.jobs")


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    COMPILING = "compiling"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    ORPHANED = "orphaned"

    @property
    def is_final(self) -> bool:
        """Whether a job never leaves this state."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.DONE, JobState.STOPPED, JobState.DIVERGED, JobState.FAILED})
"""States that a job never leaves."""
ACTIVE = frozenset(JobState) - TERMINAL
"""States in which a job holds a place in the queue."""


@dataclass(frozen=True)
class View:
    """Snapshot of any job.

    Attributes:
        seq: grows by one with every snapshot of a job.
        state: of the job.
        message: one line on what went wrong, else empty.
    """

    seq: int
    state: JobState
    message: str = field(default="", kw_only=True)


V = TypeVar("V", bound=View)


class AbstractJob(ABC, Generic[V]):
    """Work that takes turns on the worker thread, with snapshots for viewers.

    Any thread may send requests (`pause`, `resume`, `stop`) and read `snapshot`. Requests return at once and take
    effect before the next unit of work. The worker thread alone calls `work` and `hold`.

    Args:
        snapshot: the first one, before any work.
        slot: which part of the app it belongs to ("lab", "race", "sweep").
    """

    def __init__(self, snapshot: V, slot: str):
        self.id = secrets.token_hex(8)
        self.owner = ""
        self.slot = slot
        self.orphaned_at: float | None = None
        self.snapshot = snapshot
        self.wake: Callable[[], None] = lambda: None
        self.clock: Callable[[], float] = time.monotonic
        self._changed = threading.Condition()
        self._paused = False
        self._stopped = False
        self._paused_at: float | None = None
        self._shown_at = -float("inf")

    # Requests: any thread.

    def pause(self) -> None:
        """Pause before the next unit of work; the state is kept."""
        self._request(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Continue after a pause."""
        self._request(lambda: setattr(self, "_paused", False))

    def stop(self) -> None:
        """End the job; what was done stays visible."""

        def carry_out() -> None:
            self._stopped = True
            # A compilation cannot be interrupted: the job ends now, and the worker drops what it compiled.
            if self.snapshot.state in {JobState.QUEUED, JobState.COMPILING}:
                self._replace(state=JobState.STOPPED)

        self._request(carry_out)

    def wait_for(self, condition: Callable[[V], bool], timeout: float) -> bool:
        """Wait until a snapshot fulfils ``condition``; returns whether one did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.snapshot), timeout)

    # Reading: any thread.

    @property
    def state(self) -> JobState:
        """State of the job; an active one whose owner has gone is orphaned."""
        state = self.snapshot.state
        return JobState.ORPHANED if self.orphaned_at is not None and state not in TERMINAL else state

    @property
    def active(self) -> bool:
        """Whether the job may still work."""
        return self.snapshot.state not in TERMINAL

    @property
    def runnable(self) -> bool:
        """Whether there is a unit of work for the worker to do now."""
        if not self.active:
            return False
        if self._stopped or not self._paused or self._has_requests():
            return True
        return self.snapshot.state is not JobState.PAUSED or self._overdue()

    @property
    def yields(self) -> bool:
        """Whether other jobs may go first now, before the turn is over."""
        return False

    # Work: the worker alone.

    def work(self) -> None:
        """Do one unit: compile, train for one interval, or act on a request."""
        self._or_fail(self._work)

    def hold(self) -> None:
        """Read as queued: other jobs train first."""
        self._or_fail(self._hold)

    @abstractmethod
    def _unit(self) -> None:
        """One unit of work, after the checks for stop and pause."""

    @abstractmethod
    def _view(self, state: JobState) -> dict[str, Any]:
        """Fields of the next snapshot besides seq, state and message."""

    def _has_requests(self) -> bool:
        """Whether there is a request to act on even while paused."""
        return False

    def _rest(self) -> None:
        """Called when the job is paused or held for others."""

    def _or_fail(self, task: Callable[[], None]) -> None:
        """Do ``task``; an error of any kind ends this job alone."""
        try:
            task()
        except ValueError as error:
            self._publish(JobState.FAILED, message=str(error).split("\n", 1)[0])
        except Exception as error:
            if not is_shutdown(error):
                log.exception("job %s failed", self.id)
            self._publish(JobState.FAILED, message=f"Training failed; the log has it under id {self.id}.")

    def _work(self) -> None:
        if self._stopped or self._overdue():
            self._publish(JobState.STOPPED)
            return
        self._unit()

    def _hold(self) -> None:
        resumed = self.snapshot.state is JobState.PAUSED and not self._paused
        if self.snapshot.state is JobState.RUNNING or resumed:
            self._rest()
            self._publish(JobState.QUEUED)

    def _stand_still(self) -> None:
        if self._paused_at is None:
            self._paused_at = self.clock()
        self._rest()
        self._publish(JobState.PAUSED)

    def _overdue(self) -> bool:
        since = self._paused_at
        return since is not None and self._paused and self.clock() - since > PAUSE_SECONDS

    def _request(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
        self.wake()

    def _publish(self, state: JobState, message: str = "") -> None:
        # After a failure the job is not read any more: the last snapshot stays.
        fields = {} if state is JobState.FAILED else self._view(state)
        with self._changed:
            self._replace(state=state, message=message, **fields)

    def _replace(self, **fields: Any) -> None:
        if self.active:  # a final state stays
            seq = self.snapshot.seq + 1
            self.snapshot = dataclasses.replace(self.snapshot, seq=seq, **fields)
            self._shown_at = self.clock()
            self._changed.notify_all()


def divergence(step: int, config: RunConfig, label: str = "") -> str:
    """One line on a divergence: the lane where it has a ``label``, the step, and the settings at that step."""
    begin = f"{label}: diverged" if label else "Diverged"
    return f"{begin} at step {step:,} with beta = {config.beta:g} and learning rate {config.learning_rate:g}."


def is_shutdown(error: Exception) -> bool:
    """Whether ``error`` only says that the process ends: JAX's thread pools close before the rest does."""
    return isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)
