"""Training that someone watches: a worker thread, a queue, and snapshots. No web framework in here."""

from toylab.ui.jobs.job import AbstractJob
from toylab.ui.jobs.lane import MAX_LANES, Lane, with_baseline
from toylab.ui.jobs.manager import JobManager, QueueFull
from toylab.ui.jobs.snapshot import Event, Snapshot
from toylab.ui.jobs.states import ACTIVE, TERMINAL, JobState
from toylab.ui.jobs.sweep_job import CellScore, SweepJob, SweepSnapshot
from toylab.ui.jobs.training_job import TrainingJob

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
