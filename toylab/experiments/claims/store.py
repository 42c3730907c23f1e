"""Finished runs of a ledger, by their settings: scores, histories, nets."""

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from toylab.config import RunConfig
from toylab.diagnostics.optimum import OptimalCoefficient, optimal_coefficient
from toylab.evaluation import evaluate
from toylab.experiments.sweep import Cell, cell_name
from toylab.metrics.score import Score, read_score
from toylab.metrics.statistics import late_mean
from toylab.storage import run_folder
from toylab.training import Run, load


class Scored(NamedTuple):
    """What a finished run scored.

    Args:
        value: sliced W1; NaN where the run diverged.
        floor: data against data at the same n.
        n: samples.
    """

    value: float
    floor: float
    n: int


class Store:
    """Reads the runs below ``folder``; a run that is not there is an error, one that diverged is a score of NaN.

    Args:
        folder: of the run folders.
        points: pairs behind a best coefficient.
    """

    def __init__(self, folder: Path, points: int):
        self.folder, self.points = folder, points
        self._optimum = lru_cache(maxsize=None)(self._measure_optimum)
        self._evaluate = lru_cache(maxsize=None)(self._measure_score)

    def score(self, config: RunConfig) -> Scored:
        """The final score of a run, in the method's own number of evaluations per sample."""
        folder = self.folder / cell_name(config)
        if run_folder.read_run(folder).header.status == "diverged":
            return Scored(math.nan, math.nan, 0)
        found = read_score(folder)
        if found is None:
            raise ValueError(f"{folder}: the run has no score yet")
        return Scored(found.value, found.floor, found.n)

    def diverged(self, config: RunConfig) -> bool:
        """Whether a run diverged, or its samples ran to infinity."""
        return math.isnan(self.score(config).value)

    def history(self, config: RunConfig) -> pd.DataFrame:
        """The history of a run."""
        return run_folder.read_run(self.folder / cell_name(config)).history

    def late_variance(self, config: RunConfig) -> float:
        """Gradient variance, mean over the second half of training (the published average); NaN if it diverged."""
        if self.diverged(config):
            return math.nan
        return late_mean(self.history(config)["grad_variance"])

    def run(self, config: RunConfig) -> Run:
        """The run itself."""
        return load(self.folder / cell_name(config))

    def score_at(self, config: RunConfig, nfe: int, n: int) -> Scored:
        """Sliced W1 of samples that take ``nfe`` evaluations each."""
        if self.diverged(config):
            return Scored(math.nan, math.nan, 0)
        score = self._evaluate(Cell(cell_name(config), config).name, nfe, n)
        return Scored(score.value, score.floor, score.n)

    def optimum(self, config: RunConfig) -> OptimalCoefficient:
        """The variance-optimal beta of a run, exact and published."""
        return self._optimum(cell_name(config))

    def _measure_optimum(self, name: str) -> OptimalCoefficient:
        return optimal_coefficient(load(self.folder / name), num_points=self.points)

    def _measure_score(self, name: str, nfe: int, n: int) -> Score:
        return evaluate(load(self.folder / name), ("sliced_w1",), n=n, num_keys=1, nfe=nfe)["sliced_w1"]
