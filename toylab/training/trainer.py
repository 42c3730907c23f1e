"""An ensemble with a memory: advances to each row of the history, measures, and records."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import Change, RunConfig, with_changes
from toylab.data import AbstractDataset
from toylab.devices.parallel import single_precision
from toylab.devices.sharding import AskedLayout
from toylab.metrics.base import can_be_scored
from toylab.metrics.wasserstein import SlicedReference
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment
from toylab.training.state import TrainState, progress_of
from toylab.training.step import learning_rate_of

NUM_PROJECTIONS = 100
"""Directions of the sliced distance during training; final scores use more."""
NUM_REPLICAS = 8
"""Batches behind each gradient variance during training."""
SEED_REFERENCE, SEED_FLOOR, SEED_NOISE = 101, 202, 303
"""Seeds of the evaluation, the same in every run: curves of different runs share their noise."""

HISTORY_COLUMNS = (
    "step",
    "loss",
    "grad_norm",
    "beta",
    "learning_rate",
    "grad_variance",
    "sw1",
    "sw1_floor",
)
"""Loss and gradient norm are means since the row before; the rest is measured at the step. ``sw1`` is the sliced W1
of ``eval_samples`` samples, each in the method's ``eval_nfe`` evaluations; ``sw1_floor`` is that between two fresh data
samples of the same size."""


class Trainer:
    """Trains runs that differ only in leaves (beta, seed, learning rate, ...) and keeps one history per lane.

    Args:
        configs: settings, one per lane; they must share their structure, steps, logging and evaluation.
        states: checkpoints to start from; fresh runs by default.
        histories: the rows recorded before those states.
        changes: the live changes made before those states; they are made again.
        layout: spread a single lane over all devices: see `toylab.devices.sharding`.

    Raises:
        ValueError: a bad setting, or lanes that cannot share a trainer.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        states: Sequence[TrainState] | None = None,
        histories: Sequence[pd.DataFrame] | None = None,
        changes: Sequence[Sequence[Change]] | None = None,
        layout: AskedLayout | None = None,
    ):
        if len({rhythm(config) for config in configs}) > 1:
            raise ValueError("lanes of one trainer must share steps, log_every and eval_samples")
        self.configs = tuple(configs)
        """Settings at the start; see ``current`` for those in force."""
        self.changes: list[tuple[Change, ...]] = [tuple(made) for made in changes or [()] * len(configs)]
        self.steps, self.log_interval, self._eval_samples = rhythm(configs[0])
        self._experiments = [build_experiment(config) for config in configs]
        self.ensemble = Ensemble(self._experiments, states, layout)
        # A diverged lane stands still: the furthest one tells how far training has come.
        self.step = max((int(state.step) for state in states), default=0) if states else 0
        self._rows: list[list[dict[str, Any]]] = [[] for _ in configs]
        if histories:
            self._rows = [history.reset_index().to_dict("records") for history in histories]
        for lane, made in enumerate(self.changes):
            if made:
                self.ensemble.set(lane, **{change.name: change.value for change in made})
        self._references = _references(configs, [experiment.dataset for experiment in self._experiments])

    @property
    def done(self) -> bool:
        """Whether every lane has finished or diverged."""
        return self.step >= self.steps or all(step >= 0 for step in self.ensemble.diverged_at())

    def advance(self, num_steps: int) -> int:
        """Train for at most ``num_steps``, stopping at the next row of the history; returns the steps taken."""
        if self.step >= self.steps:
            return 0
        boundary = min(self.steps, (self.step // self.log_interval + 1) * self.log_interval)
        taken = min(num_steps, boundary - self.step)
        self.ensemble.advance(taken)
        self.step += taken
        if self.step == boundary:
            self._record()
        return taken

    def set(self, lane: int, **changes: float) -> None:
        """Change a live setting (`beta`, `learning_rate`) of one lane from the next step on, and remember it.

        Raises:
            ValueError: a setting that cannot change during a run, or a value out of range.
        """
        self.current(lane).replace(**changes)
        self.ensemble.set(lane, **changes)
        for name, value in changes.items():
            # Dragging a slider makes many changes at one step: the last one is what acted.
            kept = [change for change in self.changes[lane] if change[:2] != (self.step, name)]
            if getattr(with_changes(self.configs[lane], kept), name) != value:
                kept.append(Change(self.step, name, float(value)))
            self.changes[lane] = tuple(kept)

    def current(self, lane: int) -> RunConfig:
        """The settings of one lane as they are now, live changes included."""
        return with_changes(self.configs[lane], self.changes[lane])

    def history(self, lane: int) -> pd.DataFrame:
        """Rows so far, indexed by step (see ``HISTORY_COLUMNS``)."""
        table = pd.DataFrame(self._rows[lane], columns=list(HISTORY_COLUMNS)).set_index("step")
        return table.astype(np.float64)  # also where there is no row yet

    def reference(self, lane: int) -> "Reference | None":
        """What a lane is measured against during training; None where nothing is measured."""
        return self._references[lane]

    def _record(self) -> None:
        with single_precision():
            self._record_row()

    def _record_row(self) -> None:
        windows = self.ensemble.take_window()
        diverged_at, memories = self.ensemble.diverged_at(), self.ensemble.memories()
        width = self.step - (self.step - 1) // self.log_interval * self.log_interval
        variances, scores = self._measure()
        for lane in range(len(self.configs)):
            if diverged_at[lane] >= 0:
                continue
            experiment, reference = self.ensemble.experiment(lane), self._references[lane]
            progress = progress_of(experiment.steps, np.asarray(self.step))
            self._rows[lane].append(
                {
                    "step": self.step,
                    "loss": float(windows[lane].loss) / width,
                    "grad_norm": float(windows[lane].grad_norm) / width,
                    "beta": float(experiment.coefficient.headline(progress, memories[lane])),
                    "learning_rate": float(learning_rate_of(experiment, progress)),
                    "grad_variance": float(variances[lane]),
                    "sw1": float(scores[lane]),
                    "sw1_floor": reference.floor if reference else np.nan,
                }
            )

    def _measure(self) -> tuple[Float[np.ndarray, " lanes"], Float[np.ndarray, " lanes"]]:
        """Gradient variance and sliced W1 of each lane; NaN where nothing is measured or samples have run away."""
        nothing = np.full(len(self.configs), np.nan)
        if not self._eval_samples:
            return nothing, nothing
        samples = self.ensemble.sample(self._eval_samples, seed=SEED_NOISE)
        scores = [
            reference.distance(points) if reference and can_be_scored(points) else np.nan
            for reference, points in zip(self._references, samples, strict=True)
        ]
        return self.ensemble.gradient_variance(NUM_REPLICAS), np.asarray(scores)


class Reference:
    """Data points that samples are measured against, and the floor: the distance of other data points to them."""

    def __init__(self, dataset: AbstractDataset, n: int):
        self.points = dataset.sample(n, seed=SEED_REFERENCE)
        self._sliced = SlicedReference(self.points, NUM_PROJECTIONS)
        self.floor = self.distance(dataset.sample(n, seed=SEED_FLOOR))

    def distance(self, samples: Float[np.ndarray, "n dim"]) -> float:
        """Sliced W1 of ``samples`` to the reference points."""
        return self._sliced.distance(samples)


def rhythm(config: RunConfig) -> tuple[int, int, int]:
    """What lanes of one trainer share besides their structure: steps, steps between rows, samples per evaluation."""
    return config.steps, config.log_interval, config.eval_samples


def _references(
    configs: Sequence[RunConfig], lane_datasets: Sequence[AbstractDataset]
) -> list[Reference | None]:
    """One reference per lane, made once per distinct dataset."""
    made: dict[str, Reference] = {}
    references: list[Reference | None] = []
    for config, dataset in zip(configs, lane_datasets, strict=True):
        if not config.eval_samples:
            references.append(None)
            continue
        key = json.dumps([config.dataset, config.dataset_options], sort_keys=True)
        if key not in made:
            made[key] = Reference(dataset, config.eval_samples)
        references.append(made[key])
    return references
