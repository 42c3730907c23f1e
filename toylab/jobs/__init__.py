"""Training that someone watches: a worker thread, a queue, and snapshots. No web framework in here."""

from toylab.jobs.job import Job
from toylab.jobs.manager import JobManager, QueueFull
from toylab.jobs.snapshot import Event, Snapshot
from toylab.jobs.states import ACTIVE, TERMINAL, JobState

__all__ = ["ACTIVE", "TERMINAL", "Event", "Job", "JobManager", "JobState", "QueueFull", "Snapshot"]
