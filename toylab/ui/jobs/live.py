"""Live training: lanes advanced in stretches of a fixed wall time, and their view between stretches."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.devices.parallel import enable_compilation_cache
from toylab.training.api import group_by_program
from toylab.training.experiment import build_experiment
from toylab.training.run import Run
from toylab.training.trainer import SEED_NOISE, Trainer
from toylab.ui.jobs.snapshot import Event, bin_means

STRETCH_SECONDS = 0.06
"""Wall time of a stretch. Requests are read between stretches, so this bounds how fast a click acts."""
SPEED_SECONDS = 3.0
"""Time over which the speed is averaged."""
NUM_SHOWN = 1024
"""Samples, and data points, in a view; as many as the lab evaluates, so that one program serves both."""
SEED_SHOWN = 404
FIRST_STRETCH = 5
"""Steps of the first stretch, before the time of a step is known."""


class LiveTraining:
    """Lanes trained in lock step; those of one structure share a trainer and its compiled program.

    Args:
        configs: settings of each lane; one dataset and one schedule (see `check_lanes`).
        clock: seconds; replaced in tests.

    Raises:
        ValueError: a bad setting, or a dataset that is not two-dimensional.
    """

    def __init__(self, configs: Sequence[RunConfig], clock: Callable[[], float] = time.monotonic):
        enable_compilation_cache()
        self._clock = clock
        experiments = [build_experiment(config) for config in configs]
        groups = group_by_program(configs, experiments=experiments)
        self._trainers = [
            Trainer([configs[lane] for lane in members], experiments=[experiments[lane] for lane in members])
            for members in groups
        ]
        places = {lane: (g, i) for g, members in enumerate(groups) for i, lane in enumerate(members)}
        self._places = [places[lane] for lane in range(len(configs))]
        dataset = experiments[0].dataset
        if dataset.dim != 2:
            name = configs[0].dataset
            raise ValueError(f"the lab draws points in the plane; {name} has dimension {dataset.dim}")
        self.data = dataset.sample(NUM_SHOWN, seed=SEED_SHOWN)
        self._length = FIRST_STRETCH
        self._seconds_per_step: deque[float] = deque(maxlen=30)
        self._marks: deque[tuple[float, int]] = deque()
        self._tables: tuple[pd.DataFrame, ...] = ()
        self._tables_row = -1

    @property
    def num_lanes(self) -> int:
        """How many runs train side by side."""
        return len(self._places)

    @property
    def configs(self) -> tuple[RunConfig, ...]:
        """Settings of each lane, live changes included."""
        return tuple(self._trainers[g].current(i) for g, i in self._places)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return max(trainer.step for trainer in self._trainers)

    @property
    def done(self) -> bool:
        """Whether every lane is over."""
        return all(trainer.done for trainer in self._trainers)

    def diverged_at(self) -> list[int]:
        """For each lane the step at which it diverged, or -1."""
        return self._by_lane([trainer.ensemble.diverged_at() for trainer in self._trainers])

    def trainer_of(self, lane: int) -> tuple[Trainer, int]:
        """The trainer of a lane, and the lane's index in it: live settings are changed there, and recorded."""
        g, i = self._places[lane]
        return self._trainers[g], i

    def events(self) -> tuple[Event, ...]:
        """Live changes in the order of their steps, from the records of the trainers.

        A change of the learning rate at one step is one event, of the first lane that it changed.
        """
        found, rates = [], set()
        for lane in range(self.num_lanes):
            trainer, i = self.trainer_of(lane)
            values: dict[str, float] = {}
            for step, name, value in trainer.changes[i]:
                old = values[name] if name in values else getattr(trainer.configs[i], name)
                if name == "beta" or step not in rates:
                    found.append(Event(step, name, old, value, lane))
                if name != "beta":
                    rates.add(step)
                values[name] = value
        return tuple(sorted(found, key=lambda event: event.step))

    def advance(self, limit: int | None = None) -> int:
        """Train for about ``STRETCH_SECONDS``, at most ``limit`` steps; returns the steps taken.

        The length of a stretch is a traced number: adapting it compiles nothing and changes no result.
        """
        start, length = self._clock(), min(self._length, limit) if limit else self._length
        taken = max(trainer.advance(length) for trainer in self._trainers)
        now, step, interval = self._clock(), self.step, self._trainers[0].log_interval
        row_made = step % interval == 0 or step == self._trainers[0].steps
        if (
            taken and not row_made
        ):  # the time of a row is mostly its evaluation, whatever the length of the stretch
            # From the quickest of the last stretches: on a busy machine the time of a stretch is mostly waiting, and
            # shorter stretches would wait more often.
            self._seconds_per_step.append(max(now - start, 1e-4) / taken)
            wanted = STRETCH_SECONDS / min(self._seconds_per_step)
            self._length = int(np.clip(wanted, 1, 3 * self._length))
        if not self._marks:
            self._marks.append((start, step - taken))
        self._marks.append((now, step))
        while now - self._marks[0][0] > SPEED_SECONDS and len(self._marks) > 2:
            self._marks.popleft()
        return taken

    def forget_speed(self) -> None:
        """Restart the average speed, so that it leaves out time spent compiling or paused."""
        self._marks.clear()

    @property
    def steps_per_second(self) -> float:
        """Steps per second of wall time over the last stretches, evaluation included."""
        if len(self._marks) < 2:
            return 0.0
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / max(end - start, 1e-6)

    def samples(self) -> Float[np.ndarray, "lanes n dim"]:
        """Samples of every lane, from the same noise each time: points move, they do not flicker."""
        found = [trainer.ensemble.sample(NUM_SHOWN, seed=SEED_NOISE) for trainer in self._trainers]
        return np.stack(self._by_lane(found))

    def histories(self) -> tuple[pd.DataFrame, ...]:
        """One table per lane, of at most `MAX_ROWS` rows; made again only when there is a new row."""
        trainer = self._trainers[0]
        row = self.step // trainer.log_interval + (self.step == trainer.steps)
        if row != self._tables_row:
            self._tables = tuple(bin_means(self._trainers[g].history(i)) for g, i in self._places)
            self._tables_row = row
        return self._tables

    def view(self) -> dict[str, Any]:
        """Fields of a snapshot, all but the samples."""
        return {
            "configs": self.configs,
            "step": self.step,
            "steps_per_second": self.steps_per_second,
            "data": self.data,
            "histories": self.histories(),
            "events": self.events(),
        }

    def measure(self) -> None:
        """Run the evaluation once and drop the result, which compiles it."""
        for trainer in self._trainers:
            if num_samples := trainer.configs[0].eval_samples:
                trainer.ensemble.sample(num_samples)
                trainer.ensemble.gradient_variance()

    def runs(self) -> list[Run]:
        """The lanes as runs that can be saved."""
        return self._by_lane([trainer.runs() for trainer in self._trainers])

    def _by_lane(self, found: Sequence[Any]) -> list[Any]:
        """Values of each trainer's lanes, put in the order of all lanes."""
        return [found[g][i] for g, i in self._places]
