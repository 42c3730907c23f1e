"""Trainer: advances an ensemble, records its history at every logging interval and its live changes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from toylab.training.experiment import Experiment, build_experiment, with_live_settings
from toylab.training.run import Run
from toylab.training.state import TrainState, progress_of
from toylab.training.step import learning_rate_of

NUM_PROJECTIONS = 100
"""Directions of the sliced distance during training; final scores use more."""
NUM_REPLICAS = 8
"""Batches per gradient variance during training: each costs a forward and backward pass at every row."""
SEED_REFERENCE, SEED_FLOOR, SEED_NOISE = 101, 202, 303
"""Seeds of the evaluation, the same in every run: differences between curves of different runs are not noise."""

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
"""Loss and gradient norm are means since the previous row; the rest is measured at the step. ``sw1`` is the sliced W1
of ``eval_samples`` samples, each in the method's ``eval_nfe`` evaluations; ``sw1_floor`` is that between two fresh data
samples of the same size."""


class Schedule(NamedTuple):
    """Settings that lanes of one trainer share besides their structure: they advance and are measured together."""

    steps: int
    log_every: int
    eval_samples: int


def schedule_of(config: RunConfig) -> Schedule:
    """The schedule of ``config``."""
    return Schedule(config.steps, config.log_interval, config.eval_samples)


class Trainer:
    """Trains runs that differ only in leaves (beta, seed, learning rate, ...) and keeps one history per lane.

    Args:
        configs: settings, one per lane; they must share their structure, steps, logging and evaluation.
        states: checkpoints to start from; fresh runs by default.
        histories: the rows recorded before those states.
        changes: the live changes made before those states; they are made again.
        layout: spread a single lane over all devices: see `toylab.devices.sharding`.
        experiments: the configs' experiments, where the caller has built them.

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
        experiments: Sequence[Experiment] | None = None,
    ):
        if len({schedule_of(config) for config in configs}) > 1:
            raise ValueError("lanes of one trainer must share steps, log_every and eval_samples")
        self.configs = tuple(configs)
        """Settings at the start; see ``current`` for those in force."""
        self.changes: list[tuple[Change, ...]] = [tuple(made) for made in changes or [()] * len(configs)]
        """Live changes of each lane, oldest first: the only record of them."""
        self.steps, self.log_interval, self._eval_samples = schedule_of(configs[0])
        built = [build_experiment(config) for config in configs] if experiments is None else experiments
        self._experiments = [
            with_live_settings(experiment, {change.name: change.value for change in made})
            for experiment, made in zip(built, self.changes, strict=True)
        ]
        self.ensemble = Ensemble(self._experiments, states, layout)
        # A diverged lane stays at its last good step: the furthest lane has the number of steps taken.
        self.step = max((int(state.step) for state in states), default=0) if states else 0
        self._rows: list[list[dict[str, Any]]] = [[] for _ in configs]
        if histories:
            self._rows = [history.reset_index().to_dict("records") for history in histories]
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
        """Change live settings (`beta`, `learning_rate`) of one lane from the next step on, and record the change.

        Raises:
            ValueError: a setting that cannot change during a run, or a value out of range.
        """
        self.current(lane).replace(**changes)  # checks ranges
        self._experiments[lane] = with_live_settings(self._experiments[lane], changes)
        self.ensemble.replace(lane, with_live_settings(self.ensemble.experiment(lane), changes))
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

    def runs(self, paths: Sequence[str | Path | None] | None = None) -> list[Run]:
        """The lanes as runs, with copies of their states; processes that share a run must call this together.

        Args:
            paths: run folders of the lanes, None for a run without one; by default none has one.
        """
        places = [None] * len(self.configs) if paths is None else paths
        return [
            Run(
                config,
                state,
                self.history(lane),
                None if path is None else Path(path),
                self.changes[lane],
                # Not the ensemble's, in which data may be wrapped for batching.
                self._experiments[lane],
            )
            for lane, (config, state, path) in enumerate(
                zip(self.configs, self.ensemble.states(), places, strict=True)
            )
        ]

    def reference(self, lane: int) -> "Reference | None":
        """Reference data of a lane's ``sw1`` during training; None where nothing is measured."""
        return self._references[lane]

    def _record(self) -> None:
        """Append a row to the history of every lane that has not diverged."""
        # Here too, so that the columns do not depend on the caller's x64.
        with single_precision():
            windows = self.ensemble.take_window()
            diverged_at, memories = self.ensemble.diverged_at(), self.ensemble.memories()
            # Steps since the previous row: fewer than log_interval where the run ends between two boundaries.
            width = self.step - (self.step - 1) // self.log_interval * self.log_interval
            variances, scores = self._measure()
            for lane in range(len(self.configs)):
                if (
                    diverged_at[lane] >= 0
                ):  # its window is the sum of fewer steps, its state that of an earlier one
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
        """Gradient variance and sliced W1 of each lane; NaN where nothing is measured or a sample is not finite."""
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
    """Data points to which the distance of samples is measured, and its floor: the distance of other data points."""

    def __init__(self, dataset: AbstractDataset, n: int):
        self.points = dataset.sample(n, seed=SEED_REFERENCE)
        self._sliced = SlicedReference(self.points, NUM_PROJECTIONS)
        self.floor = self.distance(dataset.sample(n, seed=SEED_FLOOR))

    def distance(self, samples: Float[np.ndarray, "n dim"]) -> float:
        """Sliced W1 of ``samples`` to the reference points."""
        return self._sliced.distance(samples)


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
