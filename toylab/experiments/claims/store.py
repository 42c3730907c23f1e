"""Finished runs of a ledger by their settings: scores, histories, nets."""

import math
from functools import lru_cache
from pathlib import Path

import pandas as pd

from toylab.config import RunConfig
from toylab.diagnostics.optimum import OptimalCoefficient, optimal_coefficient
from toylab.evaluation import evaluate
from toylab.experiments.results import NO_SCORE, read_result
from toylab.experiments.sweep import cell_name
from toylab.metrics.score import Score
from toylab.metrics.statistics import late_mean
from toylab.storage import run_folder
from toylab.training import Run, load


class Store:
    """Reads the runs below ``folder``; a missing run is an error, a diverged one has a score of NaN.

    Args:
        folder: with the run folders.
        points: pairs from which a best coefficient is estimated.
    """

    def __init__(self, folder: Path, points: int):
        self.folder, self.points = folder, points
        self._optimum = lru_cache(maxsize=None)(self._measure_optimum)
        self._evaluate = lru_cache(maxsize=None)(self._measure_score)

    def score(self, config: RunConfig) -> Score:
        """The final score of a run, in the method's own number of evaluations per sample.

        Raises:
            ValueError: no run, or one that has no score yet.
        """
        folder = self.folder / cell_name(config)
        result = read_result(folder)
        if result is None or (result.status != "diverged" and not result.score.n):
            raise ValueError(f"{folder}: the run has no score yet")
        return result.score

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

    def score_at(self, config: RunConfig, nfe: int, n: int) -> Score:
        """Sliced W1 of samples that take ``nfe`` evaluations each; NaN if the run diverged."""
        return NO_SCORE if self.diverged(config) else self._evaluate(cell_name(config), nfe, n)

    def optimum(self, config: RunConfig) -> OptimalCoefficient:
        """The variance-optimal beta of a run, exact and published."""
        return self._optimum(cell_name(config))

    def _measure_optimum(self, name: str) -> OptimalCoefficient:
        return optimal_coefficient(load(self.folder / name), num_points=self.points)

    def _measure_score(self, name: str, nfe: int, n: int) -> Score:
        return evaluate(load(self.folder / name), ("sliced_w1",), n=n, num_keys=1, nfe=nfe)["sliced_w1"]
