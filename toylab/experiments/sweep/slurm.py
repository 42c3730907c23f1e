"""Shards as jobs of a SLURM cluster, by submitit; the only module that depends on either.

Before a job loses its machine (time limit, preemption) the cluster signals it, and submitit queues the same job again:
finished cells are skipped, those in training are saved first and continue from there. A signal at another moment finds
the last save, at most a minute old.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from toylab.devices.parallel import enable_compilation_cache
from toylab.experiments.sweep.cells import shard
from toylab.experiments.sweep.planfile import read_plan
from toylab.experiments.sweep.running import run_sweep
from toylab.training.api import TrainingInterrupted

Cluster = Literal["slurm", "local"]
# Folder of submitit's own files below a sweep's: scripts, logs, and its pickles, which the lab never reads.
LOGS = "jobs"
# Training stops between two rows of the history, and saves: submitit's 90 s can be too short for that.
MOST_NOTICE_SECONDS = 600


class Resources(NamedTuple):
    """Resources of a job.

    Args:
        minutes: time limit.
        cpus: cores.
        gpus: accelerators.
        partition: of the cluster; empty for its default.
    """

    minutes: int = 60
    cpus: int = 2
    gpus: int = 0
    partition: str = ""


class ShardJob:
    """One shard as a function without arguments, which submitit can queue again as it is.

    Args:
        folder: of the sweep, where every machine finds it.
        index: of the shard, from 0.
        count: of shards.
    """

    def __init__(self, folder: Path, index: int, count: int):
        self.folder, self.index, self.count = folder.resolve(), index, count

    def __call__(self) -> dict[str, int]:
        """Train the shard: how many cells were skipped and trained, and how many there are."""
        enable_compilation_cache()
        plan = read_plan(self.folder)
        cells = shard(plan.cells, self.index, self.count)
        while True:
            try:
                return run_sweep(cells, self.folder, plan.scoring, progress=False)._asdict()
            except TrainingInterrupted as stop:
                # Saved, but submitit's handler has not ended the process: SIGTERM, which it lets pass until its own
                # signal comes. So the job goes on.
                if not stop.requeue:
                    raise

    def checkpoint(self) -> Any:
        """The job that submitit queues when this one loses its machine: the same shard."""
        from submitit.helpers import DelayedSubmission  # an optional package

        return DelayedSubmission(self)


def notice_seconds(minutes: int) -> int:
    """How long before a job's time limit it is told to go: a third of the limit, at most ten minutes.

    >>> notice_seconds(60), notice_seconds(6)
    (600, 120)
    """
    return min(MOST_NOTICE_SECONDS, 60 * minutes // 3)


def submit(
    folder: Path, count: int, cluster: Cluster = "slurm", resources: Resources | None = None
) -> list[Any]:
    """Queue ``count`` shards of the sweep in ``folder``; returns submitit's jobs.

    Args:
        folder: that holds the plan, on a disk that all machines share.
        count: of shards, each a job (one array on SLURM).
        cluster: slurm, or local: processes of this machine.
        resources: per job.

    Raises:
        ValueError: no plan in ``folder``, submitit is not installed, or there is no SLURM here.
    """
    read_plan(folder)
    try:
        import submitit  # an optional package
    except ImportError:
        raise ValueError("submitting jobs needs submitit: pip install 'toylab[slurm]'") from None
    wanted = resources or Resources()
    try:
        executor = submitit.AutoExecutor(folder=str(folder / LOGS / "%j"), cluster=cluster)
    except RuntimeError as error:
        raise ValueError(f"no {cluster} here: {error}") from None
    executor.update_parameters(
        name=f"toylab-{folder.resolve().name}",
        timeout_min=wanted.minutes,
        cpus_per_task=wanted.cpus,
        gpus_per_node=wanted.gpus,
        slurm_partition=wanted.partition or None,
        slurm_signal_delay_s=notice_seconds(wanted.minutes),
    )
    with executor.batch():
        return [executor.submit(ShardJob(folder, index, count)) for index in range(count)]
