"""The paper's grid in the plane: six datasets, eleven betas, three seeds, 200,000 steps each."""

from collections.abc import Sequence

from toylab.data import dataset
from toylab.devices.parallel import batches_lanes
from toylab.experiments.claims.budgets import BUDGETS, SETS_2D
from toylab.experiments.studies.study import Study
from toylab.experiments.sweep import Scoring, plan

SEEDS = (42, 0, 1)
"""The published ones."""
BETAS = tuple(round(0.1 * index, 1) for index in range(11))


def paper_study(
    steps: int = 0,
    datasets: Sequence[str] = (),
    betas: Sequence[float] = (),
    seeds: Sequence[int] = (),
    n: int | None = None,
    num_keys: int | None = None,
    lanes: int | None = None,
) -> Study:
    """Sliced W1 of every dataset at every beta under the published protocol (preset paper_2d).

    On an accelerator all runs are lanes of one ensemble, whatever their data; on a CPU each lane runs by itself.

    Args:
        steps: fewer than the published 200,000; 0 takes those.
        datasets: by default the six of the paper's table.
        betas: by default 0, 0.1, ..., 1.
        seeds: by default the published three.
        n: samples per score, by default 32,768.
        num_keys: independent evaluations per score, by default 1.
        lanes: runs that train together; by default all of them on an accelerator, eight a core on a CPU.

    Raises:
        ValueError: a bad value.
    """
    for name in datasets:
        if (dim := dataset(name).dim) != 2:
            raise ValueError(f"dataset {name!r} has dimension {dim}: this study is of data in the plane")
    base = BUDGETS["paper"]
    if steps:
        base = base._replace(paper_steps=steps)
    # Runs of the ledger's budget: a grid with fields in this order keeps the rows of a dataset together.
    config = base.paper().to_dict()
    grid = {name: [value] for name, value in config.items()}
    grid |= {
        "dataset": list(datasets or SETS_2D),
        "beta": list(betas or BETAS),
        "seed": list(seeds or SEEDS),
    }
    cells = tuple(plan(grid))
    return Study(
        "paper",
        "Which beta gives the best one-step samples in the plane, under the published protocol?",
        cells,
        Scoring(("sliced_w1",), n or 32_768, num_keys or 1),
        "sliced_w1",
        lanes or (len(cells) if batches_lanes() else None),
    )
