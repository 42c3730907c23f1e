"""The separation law: how far apart modes must stand for beta to matter."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from toylab.config import RunConfig
from toylab.data import datasets
from toylab.diagnostics.two_modes import log_max_expansion, log_separatrix_expansion, log_variance_ratio
from toylab.metrics.statistics import NO_INTERVAL, paired, relative_gain
from toylab.metrics.wasserstein import SlicedReference
from toylab.training import Run, train_many

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEDS_SAMPLES = (11, 12)
_PROJECTIONS = 200


@dataclass(frozen=True)
class SeparationLaw:
    """What `separation_law` found.

    Args:
        table: a row per separation and std. Exact: log_max_expansion, log of the largest |rho|; log_variance_ratio, of
            the noise at beta 0 over beta 1 on the exact solution; log_law, separation^2 / (8 std^2) + log std. With
            training: sw1_0 and sw1_1 (means over seeds), gain (their mean relative difference, positive where beta = 1
            is better, from log ratios) with its 95% t interval gain_low, gain_high over paired seeds, floor, seeds
            (that finished at both beta) and diverged (runs).
        runs: a row per run, empty without training.
        settings: of the training.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    settings: dict

    def figure(self) -> "Figure":
        """Phase diagram: variance ratio on the exact solution, and the gain of beta = 1 where it was trained."""
        from toylab.diagnostics.separation_figure import separation_figure

        return separation_figure(self.table)


def separation_law(
    separations: Sequence[float] = (2, 4, 6, 8, 10),
    stds: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
    steps: int = 0,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 32,
    num_samples: int = 16_384,
) -> SeparationLaw:
    r"""Expansion, variance ratio and, with training, the gain of beta = 1, on `two_gaussians`.

    On the separatrix the map from noise to data expands by exactly std * exp(separation^2 / (8 std^2)), and vanilla
    MeanFlow multiplies its noise by that. Points so close to it that they see this are never drawn when modes are far:
    a net trained on samples has a finite part of it, and the gain says what is left.

    Args:
        separations: distances of the modes, positive.
        stds: standard deviations of the modes, in [0.05, 2].
        steps: of training per run; 0 trains nothing.
        seeds: of the runs; both beta share each seed.
        batch_size: of the runs.
        num_samples: behind each score.

    Raises:
        ValueError: a number out of range, or no separation, std or seed.
    """
    if not separations or not all(0 < each <= 100 for each in separations):
        raise ValueError(f"separations must lie in (0, 100], got {list(separations)}")
    if not stds or not all(0.05 <= each <= 2 for each in stds):
        raise ValueError(f"stds must lie in [0.05, 2], got {list(stds)}")
    if steps and not seeds:
        raise ValueError("training needs at least one seed, got none")
    cells = list(itertools.product(map(float, separations), map(float, stds)))
    rows = [
        {
            "separation": separation,
            "std": std,
            "log_max_expansion": log_max_expansion(separation, std),
            "log_law": float(log_separatrix_expansion(separation, std, 0.0, 1.0)),
            "log_variance_ratio": log_variance_ratio(separation, std),
        }
        for separation, std in cells
    ]
    table = pd.DataFrame(rows)
    if not steps:
        return SeparationLaw(table, pd.DataFrame(), {})
    # SiLU: the committed results were measured with it, and gains depend on it.
    settings = {
        "batch_size": batch_size,
        "steps": steps,
        "proxy": "ema",
        "activation": "silu",
        "eval_samples": 0,
    }
    configs = [
        RunConfig(
            dataset="two_gaussians",
            dataset_options={"separation": separation, "std": std},
            beta=beta,
            seed=seed,
            **settings,
        )
        for (separation, std), seed, beta in itertools.product(cells, seeds, (0.0, 1.0))
    ]
    runs = pd.DataFrame(_scores(train_many(configs), num_samples))
    gains = pd.DataFrame([_gain(runs, *cell) for cell in cells])
    return SeparationLaw(
        pd.concat([table, gains], axis=1),
        runs,
        {**settings, "seeds": list(seeds), "num_samples": num_samples},
    )


def _scores(runs: Sequence[Run], n: int) -> list[dict]:
    """Sliced W1 of every run on the same noise, and the floor of its data."""
    references: dict[tuple[float, float], tuple[SlicedReference, float]] = {}
    rows = []
    for run in runs:
        options = run.config.dataset_options
        cell = (options["separation"], options["std"])
        if cell not in references:
            data = datasets.create("two_gaussians", options)
            reference = SlicedReference(data.sample(n, SEEDS_SAMPLES[0]), _PROJECTIONS)
            references[cell] = reference, reference.distance(data.sample(n, SEEDS_SAMPLES[1]))
        reference, floor = references[cell]
        finished = run.status == "done"
        rows.append(
            {
                "separation": cell[0],
                "std": cell[1],
                "beta": run.config.beta,
                "seed": run.config.seed,
                "status": run.status,
                "sw1": reference.distance(run.sample(n, seed=SEEDS_SAMPLES[0])) if finished else np.nan,
                "floor": floor,
            }
        )
    return rows


def _gain(runs: pd.DataFrame, separation: float, std: float) -> dict:
    """1 - sw1(beta 1) / sw1(beta 0) in one cell: the t interval of paired log ratios, turned back."""
    cell = [row for row in runs.to_dict("records") if (row["separation"], row["std"]) == (separation, std)]
    zero, one = (
        {row["seed"]: row["sw1"] for row in cell if row["beta"] == beta and row["status"] == "done"}
        for beta in (0.0, 1.0)
    )
    pairs = paired(one, zero)
    mean_one, mean_zero = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
    gain = relative_gain(one, zero, of_logs=True) or NO_INTERVAL
    return {
        "sw1_0": float(mean_zero),
        "sw1_1": float(mean_one),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "floor": cell[0]["floor"],
        "seeds": len(pairs),
        "diverged": sum(row["status"] != "done" for row in cell),
    }
