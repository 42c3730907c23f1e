"""A trainer made for watching: stretches of a set wall time, and something to look at between them."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.jobs.snapshot import bin_means
from toylab.parallel import enable_compilation_cache
from toylab.training.run import Run
from toylab.training.trainer import SEED_NOISE, Trainer

STRETCH_SECONDS = 0.06
"""Wall time of a stretch: flags and live settings are read in between: this bounds how fast a click acts."""
SPEED_SECONDS = 3.0
"""Time over which the speed is averaged."""
NUM_SHOWN = 1024
"""Samples, and data points, that a viewer is shown; as many as the lab evaluates: one program for both."""
SEED_SHOWN = 404
FIRST_STRETCH = 5


class LiveTraining:
    """Two lanes: the chosen settings, and the same with beta = 0 (same seed, so same noise and data).

    Args:
        config: settings of the chosen lane.
        clock: seconds; replaced in tests.

    Raises:
        ValueError: a bad setting, or a dataset that is not two-dimensional.
    """

    def __init__(self, config: RunConfig, clock: Callable[[], float] = time.monotonic):
        enable_compilation_cache()
        self._clock = clock
        self._trainer = Trainer([config, config.replace(beta=0.0)])
        dataset = self._trainer.ensemble.experiment(0).dataset
        if dataset.dim != 2:
            raise ValueError(
                f"the lab draws points in the plane; {config.dataset} has dimension {dataset.dim}"
            )
        self.data = dataset.sample(NUM_SHOWN, seed=SEED_SHOWN)
        self._length = FIRST_STRETCH
        self._seconds_per_step: deque[float] = deque(maxlen=30)
        self._marks: deque[tuple[float, int]] = deque()
        self._tables: tuple[pd.DataFrame, ...] = tuple(self._trainer.history(lane) for lane in range(2))
        self._tables_row = -1

    @property
    def config(self) -> RunConfig:
        """Settings of the chosen lane, live changes included."""
        return self._trainer.current(0)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self._trainer.step

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        return self._trainer.done

    def diverged_at(self) -> list[int]:
        """For each lane the step at which it diverged, or -1."""
        return self._trainer.ensemble.diverged_at()

    def set(self, **changes: float) -> None:
        """Change live settings from the next step on: beta of the chosen lane, all others of both lanes."""
        shared = {name: value for name, value in changes.items() if name != "beta"}
        self._trainer.set(0, **changes)
        if shared:
            self._trainer.set(1, **shared)

    def advance(self, limit: int | None = None) -> int:
        """Train for about ``STRETCH_SECONDS``, at most ``limit`` steps; returns the steps taken.

        The length of a stretch is a traced number: adapting it compiles nothing and changes no result.
        """
        trainer, start = self._trainer, self._clock()
        taken = trainer.advance(min(self._length, limit) if limit else self._length)
        now = self._clock()
        row_made = trainer.step % trainer.log_interval == 0 or trainer.step == trainer.steps
        if taken and not row_made:  # a row costs its evaluation, which says nothing about the length
            # By the quickest of the last stretches: on a busy machine the time of a stretch is mostly waiting, and
            # ever shorter ones would wait ever more often.
            self._seconds_per_step.append(max(now - start, 1e-4) / taken)
            wanted = STRETCH_SECONDS / min(self._seconds_per_step)
            self._length = int(np.clip(wanted, 1, 3 * self._length))
        if not self._marks:
            self._marks.append((start, trainer.step - taken))
        self._marks.append((now, trainer.step))
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
        """Samples of both lanes, from the same noise each time: points move, they do not flicker."""
        return self._trainer.ensemble.sample(NUM_SHOWN, seed=SEED_NOISE)

    def histories(self) -> tuple[pd.DataFrame, ...]:
        """One table per lane, bounded; remade only when a row has arrived."""
        row = self.step // self._trainer.log_interval + (self.step == self._trainer.steps)
        if row != self._tables_row:
            self._tables = tuple(bin_means(self._trainer.history(lane)) for lane in range(2))
            self._tables_row = row
        return self._tables

    def view(self) -> dict[str, Any]:
        """Fields of a snapshot, all but the samples."""
        return {
            "config": self.config,
            "step": self.step,
            "steps_per_second": self.steps_per_second,
            "data": self.data,
            "histories": self.histories(),
        }

    def measure(self) -> None:
        """Run the evaluation once and drop the result, which compiles it."""
        ensemble = self._trainer.ensemble
        if num_samples := self.config.eval_samples:
            ensemble.sample(num_samples)
            ensemble.gradient_variance()

    def runs(self) -> list[Run]:
        """The lanes as runs that can be saved: (chosen, baseline)."""
        states = self._trainer.ensemble.states()
        return [
            Run(config, state, self._trainer.history(lane), changes=self._trainer.changes[lane])
            for lane, (config, state) in enumerate(zip(self._trainer.configs, states, strict=True))
        ]
