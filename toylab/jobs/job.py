"""One job: what is asked of it, where it stands, its next unit of work; only the worker changes its state."""

import dataclasses
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from toylab.config import RunConfig
from toylab.jobs.ending import divergence, is_shutdown
from toylab.jobs.snapshot import Event, Snapshot
from toylab.jobs.states import TERMINAL, JobState

if TYPE_CHECKING:
    from toylab.jobs.live import LiveTraining

SNAPSHOT_SECONDS = 0.15
"""Least time between two snapshots while training."""
PAUSE_SECONDS = 300.0
"""A job paused for longer is stopped: it holds a place that others wait for."""

log = logging.getLogger("toylab.jobs")


class Job:
    """A run to be trained live, with a baseline lane beside it.

    Any thread may call the wishes (`set`, `pause`, `resume`, `advance`, `stop`) and read `snapshot`. Wishes
    return at once and take effect before the next stretch of training. The worker thread alone calls `work`.

    Args:
        config: settings of the chosen lane.
        owner: token of the session that may see and steer this job.
        clock: seconds; replaced in tests.
    """

    def __init__(self, config: RunConfig, owner: str = "", clock: Callable[[], float] = time.monotonic):
        self.id = secrets.token_hex(8)
        self.owner = owner
        self.orphaned_at: float | None = None
        self.snapshot = Snapshot(0, JobState.QUEUED, config)
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._changed = threading.Condition()
        self._changes: dict[str, float] = {}
        self._events: tuple[Event, ...] = ()
        self._paused = False
        self._stopped = False
        self._steps_wanted = 0
        self._paused_at: float | None = None
        self._shown_at = -float("inf")
        self._live: LiveTraining | None = None

    # Wishes: any thread.

    def set(self, **changes: float) -> None:
        """Change `beta` (chosen lane) or `learning_rate` (both lanes) from the next stretch on.

        Raises:
            ValueError: a value out of range, in one line.
        """
        self.snapshot.config.replace(**changes)
        self._wish(lambda: self._changes.update(changes))

    def pause(self) -> None:
        """Stand still, keeping everything."""
        self._wish(lambda: setattr(self, "_paused", True))

    def resume(self) -> None:
        """Go on after a pause."""
        self._wish(lambda: setattr(self, "_paused", False))

    def advance(self, num_steps: int) -> None:
        """Pause, after exactly ``num_steps`` further steps."""

        def wish() -> None:
            self._paused = True
            self._steps_wanted += num_steps

        self._wish(wish)

    def stop(self) -> None:
        """End here; what was trained stays visible and can be saved."""

        def wish() -> None:
            self._stopped = True
            # A compilation cannot be interrupted: the job ends now, and the worker drops what it compiled.
            if self.snapshot.state in {JobState.QUEUED, JobState.COMPILING}:
                self._replace(state=JobState.STOPPED)

        self._wish(wish)

    def wait_for(self, condition: Callable[[Snapshot], bool], timeout: float) -> bool:
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
        """Whether the job may still train."""
        return self.snapshot.state not in TERMINAL

    @property
    def runnable(self) -> bool:
        """Whether there is a unit of work for the worker to do now."""
        if not self.active:
            return False
        if self._stopped or self._steps_wanted or not self._paused:
            return True
        pausing = self.snapshot.state is not JobState.PAUSED
        return pausing or self._overdue() or bool(self._changes)

    def runs(self) -> list[Any]:
        """The lanes as runs that can be saved, (chosen, baseline); once the job has ended, or while it is paused.

        Raises:
            ValueError: the job trains just now, or never began.
        """
        if (self.active and self.snapshot.state is not JobState.PAUSED) or self._live is None:
            raise ValueError("a run can be read once it has ended or is paused")
        return self._live.runs()

    # Work: the worker alone.

    def work(self) -> None:
        """Do one unit: compile, or train one stretch, or act on a wish."""
        self._or_fail(self._work)

    def hold(self) -> None:
        """Read as queued: this job wants to train and others do so first."""
        self._or_fail(self._hold)

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

    def _hold(self) -> None:
        resumed = self.snapshot.state is JobState.PAUSED and not self._paused
        if self.snapshot.state is JobState.RUNNING or resumed:
            if self._live is not None:
                self._live.forget_speed()
            self._publish(JobState.QUEUED)

    def _work(self) -> None:
        if self._stopped or self._overdue():
            self._publish(JobState.STOPPED)
            return
        if self._live is None:
            self._begin()
            return
        self._apply_changes()
        if self._paused and not self._steps_wanted:
            self._stand_still()
            return
        self._paused_at = None
        taken = self._live.advance(self._steps_wanted or None)
        with self._changed:
            self._steps_wanted = max(0, self._steps_wanted - taken)
        self._judge()

    def _begin(self) -> None:
        # Here, since it brings in JAX: seconds that a first page should not wait for.
        from toylab.jobs.live import LiveTraining

        self._publish(JobState.COMPILING)
        self._live = LiveTraining(self.snapshot.config, self._clock)
        self._publish(JobState.COMPILING)  # where the lanes begin: something to see while the step compiles
        self._live.advance(1)
        # The first frame, before the evaluation is compiled: from then on nothing stands still any more.
        self._publish(JobState.COMPILING)
        if not self._stopped:
            self._live.measure()
        self._live.forget_speed()
        self._publish(JobState.RUNNING)

    def _stand_still(self) -> None:
        assert self._live is not None
        if self._paused_at is None:
            self._paused_at = self._clock()
        self._live.forget_speed()
        self._publish(JobState.PAUSED)

    def _judge(self) -> None:
        """Publish what the last stretch led to."""
        live = self._live
        assert live is not None
        pausing = self._paused and not self._steps_wanted
        due = self._clock() - self._shown_at > SNAPSHOT_SECONDS or self.snapshot.state is JobState.QUEUED
        # Asking the lanes costs as much as many steps: only where there is something to show.
        if not (due or pausing or live.step >= self.snapshot.steps):
            return
        chosen, baseline = live.diverged_at()
        note = "" if baseline < 0 else "The baseline: " + divergence(baseline, live.config.replace(beta=0.0))
        if chosen >= 0:
            self._publish(JobState.DIVERGED, message=divergence(chosen, live.config))
        elif live.done:
            self._publish(JobState.DONE, message=note)
        elif pausing:
            self._stand_still()
        else:
            self._publish(JobState.RUNNING, message=note)

    def _overdue(self) -> bool:
        return (
            self._paused_at is not None and self._paused and self._clock() - self._paused_at > PAUSE_SECONDS
        )

    def _apply_changes(self) -> None:
        live = self._live
        assert live is not None
        with self._changed:
            changes, self._changes = self._changes, {}
        old = {name: getattr(live.config, name) for name in changes}
        changes = {name: value for name, value in changes.items() if value != old[name]}
        if changes:
            live.set(**changes)
            news = tuple(Event(live.step, name, old[name], value) for name, value in changes.items())
            # Dragging a slider makes many changes at one step: one mark is enough.
            kept = tuple(e for e in self._events if (e.step, e.name) not in {(n.step, n.name) for n in news})
            self._events = kept + news

    def _wish(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
        self.wake()

    def _publish(self, state: JobState, message: str = "") -> None:
        live, changes = self._live, {}
        # After a failure nothing is asked of the trainer: what was shown last stays.
        if live is not None and state is not JobState.FAILED:
            fresh = state is not JobState.DIVERGED or self.snapshot.samples is None
            samples = live.samples() if fresh else self.snapshot.samples
            changes = {**live.view(), "samples": samples, "events": self._events}
        with self._changed:
            self._replace(state=state, message=message, **changes)

    def _replace(self, **changes: Any) -> None:
        if self.active:  # a final state stays
            self.snapshot = dataclasses.replace(self.snapshot, seq=self.snapshot.seq + 1, **changes)
            self._shown_at = self._clock()
            self._changed.notify_all()
