"""Ensembles at the paper's 2-D setting, and their speed by number of lanes."""

import time

import numpy as np

from toylab.config import RunConfig, preset
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment

STEPS_PER_CALL = 200


def paper_config(**changes) -> RunConfig:
    """3 x 128, batch 256, beta 0.5, EMA tangent, on eight Gaussians."""
    return RunConfig(**{**preset("paper_2d"), "beta": 0.5, "eval_samples": 0, **changes})


class LaneTimer:
    """An ensemble of ``num_lanes`` runs, compiled and warmed up, whose speed can be measured repeatedly."""

    def __init__(self, num_lanes: int):
        betas = np.linspace(0.0, 1.0, num_lanes) if num_lanes > 1 else [0.5]
        configs = [paper_config(beta=float(beta)) for beta in betas]
        self.num_lanes = num_lanes
        self._ensemble = Ensemble([build_experiment(config) for config in configs])
        self._ensemble.advance(STEPS_PER_CALL)

    def run_steps_per_second(self, seconds: float) -> float:
        """Training steps per second, summed over lanes, for about ``seconds``."""
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            self._ensemble.advance(STEPS_PER_CALL)
            calls += 1
        return calls * STEPS_PER_CALL * self.num_lanes / (time.perf_counter() - start)
