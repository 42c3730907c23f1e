"""A trainer made for watching: stretches of a set wall time, and something to look at between them."""

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
from toylab.training.run import Run
from toylab.training.trainer import SEED_NOISE, Trainer
from toylab.ui.jobs.snapshot import bin_means

STRETCH_SECONDS = 0.06
"""Wall time of a stretch: flags and live settings are read in between: this bounds how fast a click acts."""
SPEED_SECONDS = 3.0
"""Time over which the speed is averaged."""
NUM_SHOWN = 1024
"""Samples, and data points, that a viewer is shown; as many as the lab evaluates: one program for both."""
SEED_SHOWN = 404
FIRST_STRETCH = 5


class LiveTraining:
    """Lanes trained in lock step; those of one structure share a trainer and its compiled program.

    Args:
        configs: settings of each lane; one dataset and one rhythm (see `check_lanes`).
        clock: seconds; replaced in tests.

    Raises:
        ValueError: a bad setting, or a dataset that is not two-dimensional.
    """

    def __init__(self, configs: Sequence[RunConfig], clock: Callable[[], float] = time.monotonic):
        enable_compilation_cache()
        self._clock = clock
        groups = group_by_program(configs)
        self._trainers = [Trainer([configs[lane] for lane in members]) for members in groups]
        places = {lane: (g, i) for g, members in enumerate(groups) for i, lane in enumerate(members)}
        self._places = [places[lane] for lane in range(len(configs))]
        dataset = self._trainers[0].ensemble.experiment(0).dataset
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

    def set(self, lane: int = 0, **changes: float) -> None:
        """Change live settings from the next step on: beta of ``lane``, all others of every lane."""
        for each, (g, i) in enumerate(self._places):
            wanted = {name: value for name, value in changes.items() if each == lane or name != "beta"}
            if wanted:
                self._trainers[g].set(i, **wanted)

    def advance(self, limit: int | None = None) -> int:
        """Train for about ``STRETCH_SECONDS``, at most ``limit`` steps; returns the steps taken.

        The length of a stretch is a traced number: adapting it compiles nothing and changes no result.
        """
        start, length = self._clock(), min(self._length, limit) if limit else self._length
        taken = max(trainer.advance(length) for trainer in self._trainers)
        now, step, interval = self._clock(), self.step, self._trainers[0].log_interval
        row_made = step % interval == 0 or step == self._trainers[0].steps
        if taken and not row_made:  # a row costs its evaluation, which says nothing about the length
            # By the quickest of the last stretches: on a busy machine the time of a stretch is mostly waiting, and
            # ever shorter ones would wait ever more often.
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
        """Restart the average speed: time spent compiling or paused is none of it."""
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
        """One table per lane, bounded; remade only when a row has arrived."""
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
        }

    def measure(self) -> None:
        """Run the evaluation once and drop the result, which compiles it."""
        for trainer in self._trainers:
            if num_samples := trainer.configs[0].eval_samples:
                trainer.ensemble.sample(num_samples)
                trainer.ensemble.gradient_variance()

    def runs(self) -> list[Run]:
        """The lanes as runs that can be saved."""
        states = self._by_lane([trainer.ensemble.states() for trainer in self._trainers])
        return [
            Run(
                self._trainers[g].configs[i],
                state,
                self._trainers[g].history(i),
                changes=self._trainers[g].changes[i],
            )
            for (g, i), state in zip(self._places, states, strict=True)
        ]

    def _by_lane(self, found: Sequence[Any]) -> list[Any]:
        """What each trainer says of its lanes, in the order of all lanes."""
        return [found[g][i] for g, i in self._places]
