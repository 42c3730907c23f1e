"""What comes with the app: a finished run, race, sweep and maps, runs on images, and real images to set beside them.

Made by scripts/make_lab_assets.py and scripts/make_image_assets.py.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import UInt8

from toylab.config import RunConfig
from toylab.experiments.results import run_label
from toylab.plots.images import GRID_ROWS, class_order, columns_of, to_bytes
from toylab.storage.untrusted import read_arrays
from toylab.ui import ASSETS, racing
from toylab.ui.jobs import CellScore, JobState, Lane, Snapshot, SweepSnapshot, with_baseline
from toylab.ui.runs.entry import EVALUATIONS, Bytes, Entry, Images, Number, Points, image_label

if TYPE_CHECKING:  # both take about a second to import: not before the first page is drawn
    from toylab.diagnostics.maps import Maps
    from toylab.training import Run


NO_HISTORY = pd.DataFrame(index=pd.Index([], name="step", dtype=np.int64))
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
    from toylab.diagnostics.maps import Maps  # takes a second to import

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
    # These take a second to import: not before the first page is drawn.
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


def points_entries() -> list[Entry]:
    """Both lanes of the stored run, the baseline first."""
    shown = first_run()
    assert shown.samples is not None
    return [
        Entry(
            id=f"packaged{lane}",
            label=run_label(shown.configs[lane]),
            config=shown.configs[lane],
            status="done",
            step=shown.step,
            changes=(),
            history=shown.histories[lane],
            origin="packaged",
            content=Points(shown.samples[lane], shown.data),
            note="only the curves and samples of this run ship with the app",
        )
        for lane in (1, 0)
    ]


@cache
def image_entries() -> tuple[Entry, ...]:
    """The stored runs on images, by beta and seed."""
    content = json.loads((ASSETS / "first_images.json").read_text())
    with np.load(ASSETS / "first_images.npz") as file:
        real, samples = file["real"], file["samples"]
    return tuple(
        _image_entry(index, run, content, real, grids)
        for index, (run, grids) in enumerate(zip(content["runs"], samples, strict=True))
    )


def _image_entry(
    index: int,
    run: Mapping[str, Any],
    content: Mapping[str, Any],
    real: Bytes,
    grids: UInt8[np.ndarray, "evaluations n height width shown"],
) -> Entry:
    config = RunConfig.from_dict({**content["settings"], "beta": run["beta"], "seed": run["seed"]})
    scores = {
        nfe: {name: Number.of(score) for name, score in scores.items()}
        for nfe, scores in zip(EVALUATIONS, run["scores"], strict=True)
    }
    return Entry(
        id=f"packaged{index}",
        label=image_label(config),
        config=config,
        status="done",
        step=config.steps,
        changes=(),
        history=pd.DataFrame(run["history"]).set_index("step"),
        origin="packaged",
        content=Images(
            grids=dict(zip(EVALUATIONS, grids, strict=True)),
            real=real,
            scores=scores,
            cost=content["cost"],
            classes=content["classes"],
        ),
    )


@cache
def real_images(dataset: str, classes: int) -> Bytes:
    """Real images for a grid: image k is of class k modulo ``classes``, as in grids of samples.

    Raises:
        FileNotFoundError: a set that is not installed; the line says how to install it.
    """
    from toylab.evaluation import REFERENCES  # takes a second to import

    images = REFERENCES[dataset]()
    columns = columns_of(classes)
    if classes != columns:
        return to_bytes(images.pixels[: GRID_ROWS * columns])
    return to_bytes(images.pixels[class_order(images.labels, classes, GRID_ROWS)])
