"""Make what the lab shows before the first click: a finished run, and points of every dataset.

    python scripts/make_lab_assets.py

Writes toylab/ui/assets/first_run.json (a real run of the lab's default settings, ten seconds of training,
with its settings and package versions), first_run.npz (the nets of both lanes) and points.json.
"""

import json
from pathlib import Path

import numpy as np

from toylab.data import datasets
from toylab.header import SCHEMA
from toylab.jobs import with_baseline
from toylab.jobs.live import LiveTraining
from toylab.runs import environment
from toylab.ui.settings import dataset_names, read_config

ASSETS = Path(__file__).parents[1] / "toylab" / "ui" / "assets"
NUM_POINTS = 1000


def main() -> None:
    """Write the files."""
    live = LiveTraining([lane.config for lane in with_baseline(read_config({}))])
    while not live.done:
        live.advance()
    content = {
        "schema": SCHEMA,
        "settings": live.configs[0].to_dict(),
        "environment": environment(),
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
    write("first_run.json", content)
    path = ASSETS / "first_run.npz"
    np.savez_compressed(path, params_ema=np.stack([run.state.params_ema for run in live.runs()]))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    write(
        "points.json",
        {name: rounded(datasets.create(name).sample(NUM_POINTS, seed=1)) for name in dataset_names()},
    )


def rounded(points) -> list[list[float]]:
    """Points to three decimals: a hundredth of a pixel."""
    return np.round(np.asarray(points, np.float64), 3).tolist()


def write(name: str, content: dict) -> None:
    """One compact JSON file; NaN has no place in it."""
    path = ASSETS / name
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
