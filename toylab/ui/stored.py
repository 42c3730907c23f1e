"""The finished run that the lab shows before the first click (made by scripts/make_lab_assets.py)."""

import json
from functools import cache

import numpy as np
import pandas as pd

from toylab.config import RunConfig
from toylab.jobs import JobState, Snapshot, with_baseline
from toylab.ui.thumbnails import ASSETS


@cache
def first_run() -> Snapshot:
    """The stored run as the snapshot of a job that is done."""
    content = json.loads((ASSETS / "first_run.json").read_text())
    return Snapshot(
        seq=0,
        state=JobState.DONE,
        configs=tuple(lane.config for lane in with_baseline(RunConfig.from_dict(content["settings"]))),
        step=content["step"],
        samples=np.asarray(content["samples"], np.float32),
        data=np.asarray(content["data"], np.float32),
        histories=tuple(pd.DataFrame(table).set_index("step") for table in content["histories"]),
    )
