"""Training that someone watches: a worker thread, a queue, and snapshots. No web framework in here."""

from toylab.jobs.job import AbstractJob
from toylab.jobs.lane import MAX_LANES, Lane, with_baseline
from toylab.jobs.manager import JobManager, QueueFull
from toylab.jobs.snapshot import Event, Snapshot
from toylab.jobs.states import ACTIVE, TERMINAL, JobState
from toylab.jobs.sweep_job import CellScore, SweepJob, SweepSnapshot
from toylab.jobs.training_job import TrainingJob

__all__ = [
    "ACTIVE",
    "MAX_LANES",
    "TERMINAL",
    "AbstractJob",
    "CellScore",
    "Event",
    "JobManager",
    "JobState",
    "Lane",
    "QueueFull",
    "Snapshot",
    "SweepJob",
    "SweepSnapshot",
    "TrainingJob",
    "with_baseline",
]
