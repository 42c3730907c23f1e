"""``toylab sweep submit``: the shards of a planned sweep as jobs of a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from toylab.cli import parsing
from toylab.cli.dispatch import DONE
from toylab.cli.output import note, print_json
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole


@dataclass(frozen=True)
class Flags:
    """Queue every shard of a planned sweep on SLURM; a job that loses its machine is queued again. Needs submitit.

    Logs are in FOLDER/jobs. When all jobs have ended: toylab sweep merge FOLDER.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder with the sweep.json of `toylab sweep plan`, on a disk that all machines share."""
    shards: Whole = 1
    """Jobs to split the cells into."""
    cluster: Literal["slurm", "local"] = "slurm"
    """slurm, or local: processes of this machine, waited for."""
    minutes: Whole = 60
    """Time limit of a job."""
    cpus: Whole = 2
    """Cores of a job."""
    gpus: Whole = 0
    """Accelerators of a job."""
    partition: str = ""
    """Partition of the cluster; its default where empty."""
    json: bool = False
    """Print one JSON object about the jobs."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("sweep submit", Flags, argv)
    for name, high in (("shards", 10_000), ("minutes", 100_000), ("cpus", 4096)):
        check_number(name, getattr(flags, name), 1, high)
    check_number("gpus", flags.gpus, 0, 64)
    return flags


def run(flags: Flags) -> int:
    """Queue the jobs; of local ones wait for the end.

    Raises:
        ValueError: no plan, no submitit, no cluster, or a local job that failed.
    """
    from toylab.experiments.sweep.slurm import (  # JAX: --help and a bad flag do not wait for it
        Resources,
        submit,
    )

    resources = Resources(flags.minutes, flags.cpus, flags.gpus, flags.partition)
    jobs = submit(flags.folder, flags.shards, flags.cluster, resources)
    if flags.cluster == "local":
        for job in jobs:
            job.wait()
            if problem := job.exception():
                raise ValueError(
                    f"job {job.job_id} failed ({type(problem).__name__}); its log is {job.paths.stderr}"
                )
    if flags.json:
        print_json({"jobs": [job.job_id for job in jobs], "logs": str(flags.folder / "jobs")})
    else:
        print(f"{len(jobs)} jobs: {', '.join(job.job_id for job in jobs)}")
        note(f"next: toylab sweep merge {flags.folder}")
    return DONE
