"""The job manager: one worker thread, and a queue in which the jobs of all browser tabs take turns."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from toylab.ui.jobs.job import AbstractJob, is_shutdown

MAX_JOBS = 5
"""Active jobs: one that trains and four that wait."""
TURN_SECONDS = 30.0
"""After this time a job lets others train, if there are any."""
CLOSE_SECONDS = 10.0
"""At the end of the process: a stretch ends in a tenth of a second, but a compilation cannot be interrupted."""
GRACE_SECONDS = 15.0
"""A job whose browser tab has gone (closed, connection lost) is stopped after this time."""

MAX_COMPUTATIONS = 8
"""Computations that may wait: a page asks for one at a time."""

T = TypeVar("T")
J = TypeVar("J", bound=AbstractJob)

log = logging.getLogger("toylab.ui.jobs")


class QueueFull(ValueError):
    """Raised when the queue is full."""


class JobManager:
    """Trains one job at a time, on one daemon thread: two at once on a small machine would halve each other.

    Args:
        clock: seconds; replaced in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._jobs: list[AbstractJob] = []
        self._chores: deque[Callable[[], None]] = deque()
        self._computations: deque[tuple[Future, Callable[[], Any]]] = deque()
        self._current: AbstractJob | None = None
        self._turn_began = 0.0
        self._closing = False
        self._condition = threading.Condition()
        self._worker = threading.Thread(target=self._run, name="toylab-worker", daemon=True)
        self._worker.start()
        # A thread inside XLA while the interpreter goes down can abort the process.
        atexit.register(self.close)

    def submit(self, job: J, owner: str) -> J:
        """Queue a job.

        Args:
            job: a new one.
            owner: token of the browser tab that may watch and control it.

        Raises:
            QueueFull: the queue is full.
            ValueError: this owner has an active job.
        """
        with self._condition:
            other = next((other for other in self._jobs if other.owner == owner and other.active), None)
            if other is not None:
                where = "" if other.slot == job.slot else f" on the page {other.slot.capitalize()}"
                raise ValueError(f"a run is training already{where}; stop it first")
            if sum(other.active for other in self._jobs) >= MAX_JOBS:
                raise QueueFull(f"{MAX_JOBS - 1} runs are waiting already; try again in a minute")
            job.owner, job.wake, job.clock = owner, self._wake, self._clock
            self._jobs.append(job)
            self._condition.notify_all()
        return job

    def compute(self, task: Callable[[], T]) -> "Future[T]":
        """``task()`` on the worker, before training continues; cancel the future to withdraw it.

        A task should take seconds at most: while it runs, nothing trains.

        Raises:
            QueueFull: the queue is full.
        """
        with self._condition:
            waiting = [entry for entry in self._computations if not entry[0].cancelled()]
            if len(waiting) >= MAX_COMPUTATIONS:
                raise QueueFull(f"{MAX_COMPUTATIONS} computations are waiting already; try again in a minute")
            future: Future[T] = Future()
            self._computations = deque([*waiting, (future, task)])
            self._condition.notify_all()
        return future

    def place(self, job: AbstractJob) -> int:
        """How many active jobs are ahead of this one."""
        with self._condition:
            ahead = self._jobs[: self._jobs.index(job)] if job in self._jobs else []
            if self._current is not None and self._current not in (job, *ahead):
                ahead = [*ahead, self._current]
            return sum(other.runnable for other in ahead)

    def when_idle(self, *chores: Callable[[], None]) -> None:
        """Work for idle times (compiling ahead of need); replaces the chores that still wait.

        Every chore should be short: a submitted job waits for the running one.
        """
        with self._condition:
            self._chores = deque(chores)
            self._condition.notify_all()

    def release(self, owner: str) -> None:
        """The owner has gone: its jobs are stopped after a grace time unless someone adopts them."""
        with self._condition:
            for job in self._jobs:
                if job.owner == owner and job.orphaned_at is None:
                    job.orphaned_at = self._clock()
            self._condition.notify_all()

    def find(self, job_id: str) -> AbstractJob | None:
        """The active job with this ID, or None; IDs cannot be guessed."""
        with self._condition:
            return next((job for job in self._jobs if job.id == job_id and job.active), None)

    def adopt(self, job: AbstractJob, owner: str) -> None:
        """Give ``job`` to a new owner: its tab is back, under a new token."""
        with self._condition:
            job.owner, job.orphaned_at = owner, None

    def close(self) -> None:
        """Stop all jobs and end the worker; waits for the unit of work in progress."""
        with self._condition:
            self._closing = True
            self._chores.clear()
            for future, _ in self._computations:
                future.cancel()
            self._computations.clear()
            self._condition.notify_all()
        if self._worker is not threading.current_thread():
            self._worker.join(CLOSE_SECONDS)

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except (
                Exception
            ) as error:  # a job reports its own failures: this is a chore, and nobody waits for it
                if not is_shutdown(error):
                    log.exception("a chore failed")

    def _next(self) -> Callable[[], None] | None:
        """The next task; waits until there is one, None at the end."""
        with self._condition:
            while not self._closing:
                self._jobs = [job for job in self._jobs if job.active]
                self._stop_orphans()
                if self._computations:
                    return partial(_compute, *self._computations.popleft())
                if job := self._pick():
                    # They publish samples, which takes JAX: not under the lock, and not where an error ends the worker.
                    waiting = [other for other in self._jobs if other is not job and other.runnable]
                    return partial(_take_turn, job, waiting)
                if self._chores:
                    return self._chores.popleft()
                # Deadlines of pauses and orphans need a look now and then; without jobs there are none.
                self._condition.wait(0.5 if self._jobs else None)
        return None

    def _pick(self) -> AbstractJob | None:
        """The current job while it has work and its turn lasts, else the one that has waited longest."""
        ready = [job for job in self._jobs if job.runnable]
        # Jobs with a viewer go before orphaned ones.
        ready = [job for job in ready if job.orphaned_at is None] or ready
        if not ready:
            self._current = None
            return None
        current = self._current
        turn_over = self._clock() - self._turn_began > TURN_SECONDS
        if current in ready and (len(ready) == 1 or not (turn_over or current.yields)):
            return current
        if current is not None and current in self._jobs:
            self._jobs.remove(current)
            self._jobs.append(current)
        self._current = next(job for job in ready if job is not current)
        self._turn_began = self._clock()
        return self._current

    def _stop_orphans(self) -> None:
        for job in self._jobs:
            if job.orphaned_at is not None and self._clock() > job.orphaned_at + GRACE_SECONDS:
                job.stop()


def _take_turn(job: AbstractJob, waiting: list[AbstractJob]) -> None:
    """One unit of work of ``job``, after the jobs that wait for it read as queued."""
    for other in waiting:
        other.hold()
    job.work()


def _compute(future: Future, task: Callable[[], Any]) -> None:
    """Do ``task`` and put its result or its error into ``future``."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(task())
    except Exception as error:
        if not is_shutdown(error):
            log.exception("a computation failed")
        future.set_exception(error)
