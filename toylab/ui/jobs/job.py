"""What every job is: wishes from any thread, states that only the worker changes, and snapshots for viewers."""

import dataclasses
import logging
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from toylab.ui.jobs.ending import is_shutdown
from toylab.ui.jobs.snapshot import View
from toylab.ui.jobs.states import TERMINAL, JobState

PAUSE_SECONDS = 300.0
"""A job paused for longer is stopped: it holds a place that others wait for."""

log = logging.getLogger("toylab.ui.jobs")


V = TypeVar("V", bound=View)


class AbstractJob(ABC, Generic[V]):
    """Work that takes turns on the worker thread and that someone watches.

    Any thread may call the wishes (`pause`, `resume`, `stop`) and read `snapshot`. Wishes return at once and take
    effect before the next unit of work. The worker thread alone calls `work` and `hold`.

    Args:
        snapshot: the first thing to see.
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

    # Wishes: any thread.

    def pause(self) -> None:
        """Stand still, keeping everything."""
        self._wish(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Go on after a pause."""
        self._wish(lambda: setattr(self, "_paused", False))

    def stop(self) -> None:
        """End here; what was done stays visible."""

        def wish() -> None:
            self._stopped = True
            # A compilation cannot be interrupted: the job ends now, and the worker drops what it compiled.
            if self.snapshot.state in {JobState.QUEUED, JobState.COMPILING}:
                self._replace(state=JobState.STOPPED)

        self._wish(wish)

    def wait_for(self, condition: Callable[[V], bool], timeout: float) -> bool:
        """Wait until a snapshot fulfils ``condition``; whether one did in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self.snapshot), timeout)

    # Reading: any thread.

    @property
    def state(self) -> JobState:
        """Where the job stands; an active one whose owner has gone is orphaned."""
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
        if self._stopped or not self._paused or self._has_wishes():
            return True
        return self.snapshot.state is not JobState.PAUSED or self._overdue()

    @property
    def yields(self) -> bool:
        """Whether this is a moment at which others may go first, though the turn is not over."""
        return False

    # Work: the worker alone.

    def work(self) -> None:
        """Do one unit: compile, or train one stretch, or act on a wish."""
        self._or_fail(self._work)

    def hold(self) -> None:
        """Read as queued: this job wants to train and others do so first."""
        self._or_fail(self._hold)

    @abstractmethod
    def _unit(self) -> None:
        """One unit of work, once stopping and pausing have been looked at."""

    @abstractmethod
    def _view(self, state: JobState) -> dict[str, Any]:
        """Fields of the next snapshot besides seq, state and message."""

    def _has_wishes(self) -> bool:
        """Whether there is something to do even while paused."""
        return False

    def _rest(self) -> None:
        """Called whenever the job stands still: paused, or held for others."""

    def _or_fail(self, task: Callable[[], None]) -> None:
        """Do ``task``; an error of any kind ends this job and nothing else."""
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

    def _wish(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
        self.wake()

    def _publish(self, state: JobState, message: str = "") -> None:
        # After a failure nothing is asked any more: what was shown last stays.
        fields = {} if state is JobState.FAILED else self._view(state)
        with self._changed:
            self._replace(state=state, message=message, **fields)

    def _replace(self, **fields: Any) -> None:
        if self.active:  # a final state stays
            seq = self.snapshot.seq + 1
            self.snapshot = dataclasses.replace(self.snapshot, seq=seq, **fields)
            self._shown_at = self.clock()
            self._changed.notify_all()
