"""Make the results that the pages Lab, Race, Sweep and Maps show at start, and sample points of every dataset.

    python scripts/make_lab_assets.py [first_run] [first_race] [first_sweep] [first_maps] [points]

Writes the named assets into toylab/ui/assets, by default all: results of the default settings of each page, together
with those settings and the package versions. `first_run` also writes the nets of its lanes, which `first_maps` reads.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toylab.config import RunConfig
from toylab.data import datasets
from toylab.diagnostics.maps import maps
from toylab.storage.provenance import environment
from toylab.storage.run_folder import SCHEMA
from toylab.ui import racing
from toylab.ui.jobs import JobManager, SweepJob, with_baseline
from toylab.ui.jobs.live import LiveTraining
from toylab.ui.pages.maps import page as maps_page
from toylab.ui.pages.sweep import page as sweep_page
from toylab.ui.runs import stored
from toylab.ui.settings import dataset_names, read_config

ASSETS = Path(__file__).parents[1] / "toylab" / "ui" / "assets"
NUM_POINTS = 1000
SWEEP_SECONDS = 1200.0
MANTISSA_BITS = 12
"""Bits kept of each number in the maps, about four digits; this halves the compressed size."""


def main() -> None:
    """Write the files that the command line names."""
    makers = {
        "first_run": run,
        "first_race": race,
        "first_sweep": sweep,
        "first_maps": plane,
        "points": points,
    }
    wanted = sys.argv[1:] or list(makers)
    if unknown := sorted(set(wanted) - set(makers)):
        raise SystemExit(f"unknown asset {', '.join(unknown)}; choices: {', '.join(makers)}")
    for name in wanted:
        makers[name]()


def run() -> None:
    """Lab: a lane, its baseline, and their nets."""
    live = trained([lane.config for lane in with_baseline(read_config({}))])
    write("first_run.json", content(live))
    path = ASSETS / "first_run.npz"
    np.savez_compressed(path, params_ema=np.stack([run.state.params_ema for run in live.runs()]))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def race() -> None:
    """Race: the lanes of the default preset."""
    lanes = racing.lanes(read_config({}), racing.PRESETS[racing.FIRST])
    write("first_race.json", content(trained([lane.config for lane in lanes])))


def sweep() -> None:
    """Sweep: the default grid."""
    manager, job = JobManager(), SweepJob(sweep_page.default_cells())
    manager.submit(job, "assets")
    job.wait_for(lambda snapshot: not job.active, SWEEP_SECONDS)
    found = job.snapshot
    if found.num_done < len(found.configs):
        raise SystemExit(f"the sweep is {found.state.value}: {found.message}")
    scores = [[float(f"{value:.6g}") for value in score] for score in found.scores if score is not None]
    cells = [[config.beta, config.seed] for config in found.configs]
    write(
        "first_sweep.json",
        {"settings": found.configs[0].to_dict(), **made(), "cells": cells, "scores": scores},
    )
    manager.close()


def plane() -> None:
    """Maps: fields of the stored net at r = 0."""
    found = maps(stored.first_runs()[0], r=0.0, t=maps_page.TIMES, beta=0.0, resolution=maps_page.RESOLUTION)
    path = ASSETS / "first_maps.npz"
    fields = {name: shortened(getattr(found, name)) for name in stored.MAP_FIELDS}
    np.savez_compressed(path, t=np.array(found.t), title=found.title, **fields)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def points() -> None:
    """1,000 sample points of every dataset."""
    write(
        "points.json",
        {name: rounded(datasets.create(name).sample(NUM_POINTS, seed=1)) for name in dataset_names()},
    )


def trained(configs: Sequence[RunConfig]) -> LiveTraining:
    """Lanes that are trained to the end."""
    live = LiveTraining(configs)
    while not live.done:
        live.advance()
    return live


def made() -> dict[str, Any]:
    """Schema and environment of an asset."""
    return {"schema": SCHEMA, "environment": environment()}


def content(live: LiveTraining) -> dict[str, Any]:
    """Final state of the lanes as JSON types."""
    return {
        "settings": live.configs[0].to_dict(),
        **made(),
        "step": live.step,
        "data": rounded(live.data),
        "samples": [rounded(points) for points in live.samples()],
        "histories": [
            {
                name: [float(f"{value:.5g}") for value in table.reset_index()[name]]
                for name in table.reset_index()
            }
            for table in live.histories()
        ],
    }


def shortened(values) -> np.ndarray:
    """``values`` in float32, rounded to `MANTISSA_BITS` bits."""
    mantissa, exponent = np.frexp(np.asarray(values, np.float64))
    return np.ldexp(np.round(mantissa * 2**MANTISSA_BITS) / 2**MANTISSA_BITS, exponent).astype(np.float32)


def rounded(points) -> list[list[float]]:
    """Points rounded to three decimals, a hundredth of a pixel."""
    return np.round(np.asarray(points, np.float64), 3).tolist()


def write(name: str, content: dict) -> None:
    """Write one compact JSON file; NaN raises ValueError."""
    path = ASSETS / name
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
