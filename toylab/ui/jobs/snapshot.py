"""Snapshots of a job for viewers: immutable, and replaced as a whole, so that a slow viewer skips some."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.ui.jobs.job import View

MAX_ROWS = 400
"""Rows of a history table in a snapshot: as many as a chart has pixels, few enough to send all the time."""


class Event(NamedTuple):
    """A live change, made from the trainer's record: from ``step`` on, ``name`` of ``lane`` is ``new``."""

    step: int
    name: str
    old: float
    new: float
    lane: int = 0


@dataclass(frozen=True)
class Snapshot(View):
    """A job at one moment. Arrays and tables have one entry per lane; the lab's lanes are (chosen, baseline).

    Attributes:
        configs: settings of each lane, live changes included.
        labels: the lanes' labels.
        step: optimiser steps done.
        steps_per_second: optimiser steps (of each lane) per second of wall time, lately; 0 before there are any.
        samples: one-step samples of each lane from the same noise, None before the first step.
        data: fresh data points to draw them over.
        histories: one table per lane indexed by step, as `Trainer.history`, at most ``MAX_ROWS`` rows.
        events: live changes, oldest first.
        diverged_at: the step at which each lane diverged, or -1; () before the first check.
    """

    configs: tuple[RunConfig, ...]
    labels: tuple[str, ...] = ("chosen", "baseline")
    step: int = 0
    steps_per_second: float = 0.0
    samples: Float[np.ndarray, "lanes n dim"] | None = None
    data: Float[np.ndarray, "n dim"] | None = None
    histories: tuple[pd.DataFrame, ...] = ()
    events: tuple[Event, ...] = ()
    diverged_at: tuple[int, ...] = ()

    @property
    def config(self) -> RunConfig:
        """Settings of the first lane."""
        return self.configs[0]

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.steps

    @property
    def eta(self) -> float | None:
        """Seconds left at the current speed, None where that is not known."""
        return (self.steps - self.step) / self.steps_per_second if self.steps_per_second > 0 else None

    def latest(self, column: str) -> tuple[float, ...]:
        """The last value of a history column, one per lane; NaN where there is none yet."""
        return tuple(
            float(table[column].iloc[-1]) if len(table) else float("nan") for table in self.histories
        )

    @property
    def scores(self) -> tuple[float, ...]:
        """The last distance of each lane to the data; NaN before there is one, and where the lane diverged since."""
        diverged_at = self.diverged_at or (-1,) * len(self.histories)
        return tuple(
            value if step < 0 else math.nan
            for value, step in zip(self.latest("sw1"), diverged_at, strict=True)
        )

    @property
    def floor(self) -> float:
        """The score of fresh data; NaN before a lane was measured. The same for all lanes: they share data and n."""
        return next((floor for floor in self.latest("sw1_floor") if math.isfinite(floor)), math.nan)


def bin_means(table: pd.DataFrame, max_rows: int = MAX_ROWS) -> pd.DataFrame:
    """``table`` with runs of neighbouring rows replaced by their mean, so that at most ``max_rows`` remain.

    The index of a bin is its last one: the newest row stays at the right end of a curve.
    """
    size = -(-len(table) // max_rows)
    if size <= 1:
        return table
    # Bins are counted from the end, so that the newest one is always full.
    bins = (np.arange(len(table)) - len(table)) // size
    last = np.flatnonzero(np.diff(bins, append=0))
    starts = np.concatenate([[0], last[:-1] + 1])
    sums = np.add.reduceat(table.to_numpy(np.float64), starts, axis=0)
    means = sums / np.diff(starts, append=len(table))[:, None]
    return pd.DataFrame(means, index=table.index[last], columns=table.columns)
