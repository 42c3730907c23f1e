"""Budgets of a ledger: the same claims, trained shorter or longer."""

from typing import NamedTuple

from toylab.config import RunConfig, preset
from toylab.experiments.sweep.grids import PAPER_BETAS, SETS_2D, sparsely_measured


class Budget(NamedTuple):
    """Training steps, seeds and samples of a ledger.

    Args:
        name: as on the command line.
        summary: one line.
        seeds: of every paired comparison.
        steps: of runs under our short protocol.
        separated_steps: of runs on two far modes.
        paper_steps: of runs under the paper's protocol, which asks for 200,000.
        betas: the grid of the best beta.
        grid_sets: the sets of that grid.
        dims: of the mixtures in many dimensions.
        dgmm_betas: their grid.
        rates: learning rates of the instability map.
        score_n: samples per score.
        score_keys: independent evaluations per score.
        points: pairs from which a best coefficient is estimated.
    """

    name: str
    summary: str
    seeds: tuple[int, ...]
    steps: int
    separated_steps: int
    paper_steps: int
    betas: tuple[float, ...]
    grid_sets: tuple[str, ...]
    dims: tuple[int, ...]
    dgmm_betas: tuple[float, ...]
    rates: tuple[float, ...]
    score_n: int
    score_keys: int
    points: int

    def short(self, **settings) -> RunConfig:
        """Our short protocol: batch 64, every gap, EMA tangent."""
        return sparsely_measured(**{"batch_size": 64, "steps": self.steps, **settings})

    def separated(self, **settings) -> RunConfig:
        """Two far modes, small batch: the regime in which beta decides."""
        return sparsely_measured(**{**preset("separated"), "steps": self.separated_steps, **settings})

    def paper(self, **settings) -> RunConfig:
        """The paper's protocol, at this budget's number of steps."""
        return sparsely_measured(**{**preset("paper_2d"), "steps": self.paper_steps, **settings})


BUDGETS: dict[str, Budget] = {
    item.name: item
    for item in (
        Budget(
            "smoke",
            "that the ledger works, and the rows that show in seconds",
            seeds=(0, 1, 2, 3, 4),
            steps=1_000,
            separated_steps=5_000,
            paper_steps=1_000,
            betas=(0.0, 1.0),
            grid_sets=("eight_gaussians",),
            dims=(2,),
            dgmm_betas=(0.0, 1.0),
            rates=(1e-3,),
            score_n=16_384,
            score_keys=1,
            points=4_096,
        ),
        Budget(
            "quick",
            "every claim, most with shortened training; aims at twenty minutes on two free cores",
            seeds=(0, 1, 2, 3, 4),
            steps=5_000,
            separated_steps=10_000,
            paper_steps=10_000,
            betas=(0.0, 0.4, 0.8, 1.0, 1.4),
            grid_sets=("eight_gaussians", "two_moons"),
            dims=(2, 16, 64),
            dgmm_betas=(0.0, 0.4, 1.0),
            rates=(1e-2, 1e-1, 3e-1, 1.0),
            score_n=32_768,
            score_keys=1,
            points=8_192,
        ),
        Budget(
            "paper",
            "the full protocol: six sets, eleven betas, eight seeds, 200,000 steps; for a GPU",
            seeds=(42, 0, 1, 2, 3, 4, 5, 6),
            steps=10_000,
            separated_steps=15_000,
            paper_steps=200_000,
            betas=PAPER_BETAS,
            grid_sets=SETS_2D,
            dims=(2, 4, 8, 16, 32, 64),
            dgmm_betas=PAPER_BETAS,
            rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
            score_n=32_768,
            score_keys=4,
            points=32_768,
        ),
    )
}


def budget(name: str) -> Budget:
    """The budget called ``name``.

    Raises:
        ValueError: no such budget; the message names the choices.
    """
    if name not in BUDGETS:
        raise ValueError(f"unknown budget {name!r}; choices: {', '.join(BUDGETS)}")
    return BUDGETS[name]
