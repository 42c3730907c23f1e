"""Make the results that the page Images shows at start: runs of digits-dit-tiny for several beta and seeds.

    python scripts/make_image_assets.py [--runs runs/digits-dit-tiny] [--seeds 3]

Trains the runs that are missing from the folder (about 140 s of processor time each), one seed at a time, so that the
script can be stopped and started again. Then writes first_images.json (settings, histories, scores, cost) and
first_images.npz (samples and real images as bytes) into toylab/ui/assets. Runs differ only in beta and seed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import toylab as tl
from toylab.configs import named_config
from toylab.storage.atomic import atomic_write_json
from toylab.storage.provenance import environment
from toylab.storage.run_folder import SCHEMA, is_run
from toylab.training import Run
from toylab.ui.pages.images import grids
from toylab.ui.runs import stored
from toylab.ui.runs.entry import EVALUATIONS

ASSETS = Path(__file__).parents[1] / "toylab" / "ui" / "assets"
BETAS = (0.0, 0.5, 1.0)
LOG_EVERY = 50
"""Instead of 200 in the config, which gives curves of four points only."""


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=Path, default=Path("runs/digits-dit-tiny"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    runs = [run for seed in range(options.seeds) for run in trained(seed, options.runs)]
    runs.sort(key=lambda run: (run.config.seed, run.config.beta))
    measured = []
    for run in runs:
        scores = [scores_of(run, nfe) for nfe in EVALUATIONS]
        measured.append(
            {"beta": run.config.beta, "seed": run.config.seed, "scores": scores, "history": table(run)}
        )
        print(f"beta {run.config.beta:g}, seed {run.config.seed}: {scores[0]['FDD']}", flush=True)
    shape = runs[0].dataset.shape
    settings = {**runs[0].config.to_dict(), "beta": 0.0, "seed": 0}
    content = {
        "schema": SCHEMA,
        "environment": environment(),
        "settings": settings,
        "classes": shape.num_classes,
        "cost": grids.count(runs[0].config),
        "runs": measured,
    }
    path = ASSETS / "first_images.json"
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    pictures = ASSETS / "first_images.npz"
    np.savez_compressed(
        pictures,
        real=stored.real_images(runs[0].config.dataset, shape.num_classes),
        samples=np.stack([[grids.draw(run, nfe) for nfe in EVALUATIONS] for run in runs]),
    )
    for each in (path, pictures):
        print(f"{each}: {each.stat().st_size / 1000:.0f} kB")


def trained(seed: int, folder: Path) -> list[Run]:
    """The runs of one seed; those that are missing from ``folder`` are trained."""
    config = named_config("digits-dit-tiny").replace(seed=seed, log_every=LOG_EVERY)
    configs = [config.replace(beta=beta) for beta in BETAS]
    paths = [folder / f"beta{each.beta:g}-seed{seed}" for each in configs]
    known = [tl.load(path) if is_run(path) else None for path in paths]
    return tl.train_many(configs, paths=paths, resume=known)


def scores_of(run: Run, nfe: int) -> dict[str, Any]:
    """Scores as JSON with five digits, cached in the run folder so that a restart does not measure them again."""
    assert run.path is not None
    known = run.path / f"image_scores_{nfe}.json"
    if not known.is_file():
        found = {name: shortened(score.to_json()) for name, score in grids.scores(run, nfe).items()}
        atomic_write_json(known, found)
    return json.loads(known.read_text())


def shortened(value: Any) -> Any:
    """``value`` with its numbers rounded to five digits, finer than their uncertainty."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def table(run: Run) -> dict[str, list[float]]:
    """The history as lists by column."""
    rows = run.history.reset_index()
    return {name: [float(f"{value:.5g}") for value in rows[name]] for name in rows}


if __name__ == "__main__":
    main()
