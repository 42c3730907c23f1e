"""The states of a job, and which of them are final.

    QUEUED -> COMPILING -> RUNNING <-> PAUSED -> DONE | STOPPED | DIVERGED | FAILED

An active job whose owner has gone reads ORPHANED: it goes on for a grace time, and is adopted or stopped.
"""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands."""

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
        """Whether a job never leaves it."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.DONE, JobState.STOPPED, JobState.DIVERGED, JobState.FAILED})
"""States that a job never leaves."""
ACTIVE = frozenset(JobState) - TERMINAL
"""States in which a job holds a place in the queue."""
