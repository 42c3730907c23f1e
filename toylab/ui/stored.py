"""The finished run that the lab shows before the first click (made by scripts/make_lab_assets.py)."""

import json
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from toylab.config import RunConfig
from toylab.jobs import JobState, Snapshot, with_baseline
from toylab.safe_npz import read_arrays
from toylab.ui.thumbnails import ASSETS

if TYPE_CHECKING:
    from toylab.training import Run


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


@cache
def first_runs() -> "tuple[Run, ...]":
    """Both lanes of the stored run, (chosen, baseline), to sample from: of their state only the averages are stored."""
    # Here, since they bring in JAX: seconds that a first page should not wait for.
    import jax

    from toylab.parallel import single_precision
    from toylab.training import Run
    from toylab.training.experiment import build_experiment
    from toylab.training.state import init_state

    shown = first_run()
    params = read_arrays(ASSETS / "first_run.npz", names=["params_ema"])["params_ema"]
    runs = []
    for lane, beta in enumerate((shown.config.beta, 0.0)):
        config = shown.config.replace(beta=beta)
        with single_precision():
            shapes = jax.eval_shape(init_state, build_experiment(config))
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        state = zeros._replace(
            params=params[lane],
            params_ema=params[lane],
            step=np.int32(shown.step),
            diverged_at=np.int32(-1),
        )
        runs.append(Run(config, state, shown.histories[lane]))
    return tuple(runs)
