"""What pages show before the first click: a finished run, race, sweep and maps (made by scripts/make_lab_assets.py)."""

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toylab.config import RunConfig
from toylab.storage.untrusted import read_arrays
from toylab.ui import ASSETS, racing
from toylab.ui.jobs import CellScore, JobState, Lane, Snapshot, SweepSnapshot, with_baseline

if TYPE_CHECKING:
    from toylab.diagnostics.maps import Maps
    from toylab.training import Run


MAP_FIELDS = ("axis", "expansion", "bias", "best_beta", "density", "jacobian", "covariance")
"""What the file of the maps holds besides t and their title: the noise follows from them for any beta."""


@cache
def first_run() -> Snapshot:
    """The stored run as the snapshot of a job that is done: the chosen lane and its baseline."""
    settings, content = _read("first_run.json")
    return _snapshot(with_baseline(settings), content)


@cache
def first_race() -> Snapshot:
    """The stored race, of the lanes that its page starts with."""
    settings, content = _read("first_race.json")
    return _snapshot(racing.lanes(settings, racing.PRESETS[racing.FIRST]), content)


@cache
def first_sweep() -> SweepSnapshot:
    """The scores of the grid that the page of sweeps starts with; the first cell's settings are stored with them."""
    settings, content = _read("first_sweep.json")
    cells = tuple(settings.replace(beta=beta, seed=seed) for beta, seed in content["cells"])
    return SweepSnapshot(0, JobState.DONE, cells, tuple(CellScore(*score) for score in content["scores"]))


@cache
def first_maps() -> "Maps":
    """Maps of the stored run's chosen net for r = 0."""
    from toylab.diagnostics.maps import Maps

    with np.load(ASSETS / "first_maps.npz") as file:
        fields = {name: file[name].astype(np.float64) for name in MAP_FIELDS}
        times, title = tuple(float(t) for t in file["t"]), str(file["title"])
    fields["noise"] = np.zeros_like(fields["density"])
    return Maps(t=times, r=0.0, beta=0.0, title=title, **fields).with_beta(0.0)


def _read(name: str) -> tuple[RunConfig, dict[str, Any]]:
    content = json.loads((ASSETS / name).read_text())
    return RunConfig.from_dict(content["settings"]), content


def _snapshot(lanes: Sequence[Lane], content: dict[str, Any]) -> Snapshot:
    return Snapshot(
        seq=0,
        state=JobState.DONE,
        configs=tuple(lane.config for lane in lanes),
        labels=tuple(lane.label for lane in lanes),
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

    from toylab.devices.parallel import single_precision
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
