"""Training in the background: one worker thread, a queue of jobs, and snapshots for viewers. Without streamlit."""

from toylab.ui.jobs.job import ACTIVE, TERMINAL, AbstractJob, JobState, divergence
from toylab.ui.jobs.manager import JobManager, QueueFull
from toylab.ui.jobs.snapshot import Event, Snapshot
from toylab.ui.jobs.sweep_job import CellScore, SweepJob, SweepSnapshot
from toylab.ui.jobs.training_job import MAX_LANES, Lane, TrainingJob, chores, with_baseline

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
    "chores",
    "divergence",
    "with_baseline",
]
