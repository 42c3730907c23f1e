"""Named grids: a question, the runs that answer it, and how they are scored."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from toylab.config import RunConfig, preset
from toylab.data import create_dataset, dataset
from toylab.devices.parallel import batches_lanes
from toylab.evaluation import FEATURE_NETS, REFERENCES, image_score_names
from toylab.experiments.sweep.cells import Cell, cell_name, plan
from toylab.experiments.sweep.planfile import SweepPlan
from toylab.experiments.sweep.running import Progress, Scoring, is_finished, run_sweep
from toylab.plots.images import grid_png
from toylab.training import load

# The datasets of the paper's table, in its order, and its seeds and betas.
SETS_2D = ("swiss_roll", "pinwheel", "checkerboard", "two_moons", "eight_gaussians", "two_spirals")
PAPER_SEEDS = (42, 0, 1)
PAPER_BETAS = tuple(round(0.1 * index, 1) for index in range(11))
IMAGE_BETAS, IMAGE_SEEDS = (0.0, 0.25, 0.5, 1.0), (0, 1)
# Images of each run in the picture.
COLUMNS = 20


class NamedGrid(NamedTuple):
    """A question and the runs that answer it.

    Args:
        name: as on the command line.
        question: one line.
        cells: its runs.
        scoring: of each run.
        metric: the score of its table, lower is better.
        lanes: runs that train together; None takes the default of sweeps.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
    scoring: Scoring
    metric: str
    lanes: int | None = None

    @property
    def plan(self) -> SweepPlan:
        """Its plan, as `write_plan` keeps it for `toylab sweep run`."""
        return SweepPlan(self.cells, self.scoring)

    def run(self, out: Path, on_progress: Callable[[Progress], None] = lambda done: None) -> Progress:
        """Train and score the runs that are not finished in ``out``; see `run_sweep`."""
        return run_sweep(self.cells, out, self.scoring, self.lanes, on_progress=on_progress)


def sparsely_measured(**settings: Any) -> RunConfig:
    """Settings with twenty rows of history: their gradient variance and SW1 cost less than the training between."""
    config = RunConfig(**{"eval_samples": 1024, **settings})
    return config.replace(log_every=max(1, config.steps // 20))


def paper_grid(
    steps: int = 0,
    datasets: Sequence[str] = (),
    betas: Sequence[float] = (),
    seeds: Sequence[int] = (),
    n: int | None = None,
    num_keys: int | None = None,
    lanes: int | None = None,
) -> NamedGrid:
    """The paper's grid in the plane: sliced W1 of six datasets at eleven betas with three seeds (preset paper_2d).

    Its runs are those of the ledger of claims at budget paper: one folder serves both. On an accelerator all runs are
    lanes of one ensemble, whatever their data; on a CPU each lane runs by itself.

    Args:
        steps: fewer than the published 200,000; 0 takes those.
        datasets: by default the six of the paper's table.
        betas: by default 0, 0.1, ..., 1.
        seeds: by default the published three.
        n: samples per score, by default 32,768.
        num_keys: independent evaluations per score, by default 1.
        lanes: runs that train together; by default all of them on an accelerator, eight a core on a CPU.

    Raises:
        ValueError: a bad value, or a dataset that is not in the plane.
    """
    for name in datasets:
        if (dim := dataset(name).dim) != 2:
            raise ValueError(f"dataset {name!r} has dimension {dim}: the grid paper takes data in the plane")
    changes = {"steps": steps} if steps else {}
    config = sparsely_measured(**{**preset("paper_2d"), **changes})
    # With fields in the order of RunConfig the rows of a dataset stay together.
    cells = _cells(
        config,
        dataset=list(datasets or SETS_2D),
        beta=list(betas or PAPER_BETAS),
        seed=list(seeds or PAPER_SEEDS),
    )
    return NamedGrid(
        "paper",
        "Which beta gives the best one-step samples in the plane, under the published protocol?",
        cells,
        Scoring(("sliced_w1",), n or 32_768, num_keys or 1),
        "sliced_w1",
        lanes or (len(cells) if batches_lanes() else None),
    )


def images_grid(
    config: RunConfig,
    betas: Sequence[float] = (),
    seeds: Sequence[int] = (),
    n: int | None = None,
    num_keys: int | None = None,
    features: str = "",
    lanes: int | None = None,
) -> NamedGrid:
    """One-step samples of ``config`` at several betas, nothing else changed: paired seeds, paired noise of samples.

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
    return NamedGrid(
        "images",
        f"What does beta alone change in one-step samples of {config.dataset}?",
        _cells(config, beta=list(betas or IMAGE_BETAS), seed=list(seeds or IMAGE_SEEDS)),
        Scoring(names, n or 10_000, num_keys or 1, net),
        names[0],
        lanes or 1,
    )


def picture(grid: NamedGrid, out: Path) -> tuple[bytes, list[str]] | None:
    """Images of every finished run from the same noise as PNG, with the label of each row; None without finished runs.

    A row is a run, columns are of the classes in turn.
    """
    rows, names = [], []
    for cell in grid.cells:
        folder = out / cell_name(cell.config)
        if not is_finished(folder, grid.scoring):
            continue
        run = load(folder)
        shape = run.dataset.shape.image
        assert shape is not None
        points = run.sample(COLUMNS, nfe=run.experiment.method.eval_nfe, seed=0)
        rows.append(np.nan_to_num(points).reshape(-1, *shape))
        names.append(f"beta {cell.config.beta:g}, seed {cell.config.seed}")
    return (grid_png(np.concatenate(rows), COLUMNS), names) if rows else None


def _cells(config: RunConfig, **varied: Sequence[Any]) -> tuple[Cell, ...]:
    grid: dict[str, Sequence[Any]] = {name: [value] for name, value in config.to_dict().items()}
    return tuple(plan(grid | varied))
