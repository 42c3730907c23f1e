"""The effect of beta alone on images: paired seeds, paired noise of the samples, Frechet distance of features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toylab.config import RunConfig
from toylab.data import create_dataset
from toylab.evaluation import FEATURE_NETS, REFERENCES, image_score_names
from toylab.experiments.studies.study import Study
from toylab.experiments.sweep import Scoring, cell_name, is_finished, plan
from toylab.plots.images import grid_png
from toylab.training import load

BETAS, SEEDS = (0.0, 0.25, 0.5, 1.0), (0, 1)
COLUMNS = 20
"""Images of each run in the picture."""


def images_study(
    config: RunConfig,
    betas: Sequence[float] = (),
    seeds: Sequence[int] = (),
    n: int | None = None,
    num_keys: int | None = None,
    features: str = "",
    lanes: int | None = None,
) -> Study:
    """One-step samples of ``config`` at several betas, nothing else changed.

    Args:
        config: a run on images.
        betas: by default 0, 0.25, 0.5, 1.
        seeds: of training, by default 0 and 1, the same for every beta.
        n: samples per score, by default 10,000; their noise is the same for every run.
        num_keys: independent samples per score, by default 1.
        features: net that scores them; by default the packaged one of the dataset.
        lanes: runs that train together, by default 1: one already fills a device.

    Raises:
        ValueError: data whose real images are not known, a net that is unknown or takes other images, or ``n`` below
            2: before anything is trained.
        FileNotFoundError: images that are not installed.
    """
    if config.dataset not in REFERENCES:
        raise ValueError(f"no real images of {config.dataset!r} are known, only of {', '.join(REFERENCES)}")
    if n is not None and n < 2:
        raise ValueError(f"a Frechet distance needs at least 2 samples, got n = {n}")
    net = features or FEATURE_NETS[config.dataset]
    shape = create_dataset(config.dataset, config.dataset_options).shape
    names = image_score_names(net, shape)
    grid: dict[str, Sequence[Any]] = {name: [value] for name, value in config.to_dict().items()}
    grid |= {"beta": list(betas or BETAS), "seed": list(seeds or SEEDS)}
    return Study(
        "images",
        f"What does beta alone change in one-step samples of {config.dataset}?",
        tuple(plan(grid)),
        Scoring(names, n or 10_000, num_keys or 1, net),
        names[0],
        lanes or 1,
    )


def picture(study: Study, out: Path) -> tuple[bytes, list[str]] | None:
    """Images of every finished run from the same noise, a row each, as PNG; and what the rows are. None without runs.

    Columns are of the classes in turn.
    """
    rows, names = [], []
    for cell in study.cells:
        folder = out / cell_name(cell.config)
        if not is_finished(folder, study.scoring):
            continue
        run = load(folder)
        shape = run.dataset.shape.image
        assert shape is not None
        points = run.sample(COLUMNS, nfe=run.experiment.method.eval_nfe, seed=0)
        rows.append(np.nan_to_num(points).reshape(-1, *shape))
        names.append(f"beta {cell.config.beta:g}, seed {cell.config.seed}")
    return (grid_png(np.concatenate(rows), COLUMNS), names) if rows else None
