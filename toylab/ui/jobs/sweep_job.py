"""A job that trains a grid of runs, a few at a time; between two chunks of cells other jobs may train."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from toylab.config import RunConfig
from toylab.evaluation import evaluate
from toylab.training.api import group_by_program
from toylab.training.run import Run
from toylab.ui.jobs.job import AbstractJob, JobState, View
from toylab.ui.jobs.live import LiveTraining

MAX_CELLS = 64
SCORE_N = 8192
"""Samples of a cell's score: its floor is about twice that of 32,768, and it takes a tenth of a second."""
SCORE_KEYS = 2
SNAPSHOT_SECONDS = 0.3


class CellScore(NamedTuple):
    """Scores of a finished cell; NaN where it diverged.

    Args:
        sw1: sliced Wasserstein-1 distance to the data.
        stderr: its standard error over evaluation keys.
        floor: the distance between two fresh data samples of this size.
        loss: the last row of the history.
        grad_variance: mean over the later half of the history.
        diverged_at: the step at which it did, or -1.
    """

    sw1: float
    stderr: float
    floor: float
    loss: float
    grad_variance: float
    diverged_at: int


@dataclass(frozen=True)
class SweepSnapshot(View):
    """Snapshot of a sweep; entries of ``scores`` are None until their cell is finished.

    Attributes:
        configs: the cells.
        scores: one per cell.
        current: cells in training.
        step: their optimiser steps done.
        seconds: wall time of the work so far, without waiting.
    """

    configs: tuple[RunConfig, ...]
    scores: tuple[CellScore | None, ...]
    current: tuple[int, ...] = ()
    step: int = 0
    seconds: float = 0.0

    @property
    def num_done(self) -> int:
        """Number of finished cells."""
        return sum(score is not None for score in self.scores)

    @property
    def share_done(self) -> float:
        """Fraction of all steps that is done."""
        within = len(self.current) * self.step / self.configs[0].steps if self.current else 0.0
        return min(1.0, (self.num_done + within) / len(self.configs))

    @property
    def eta(self) -> float | None:
        """Estimated seconds of work left, None before the speed is known."""
        share = self.share_done
        return self.seconds * (1 - share) / share if share > 0.01 else None


class SweepJob(AbstractJob[SweepSnapshot]):
    """Trains cells to the end, as many at a time as there are cores, and scores them.

    Stopping keeps what is finished.

    Args:
        configs: the cells: at most 64, all of one number of steps.
        slot: which part of the app it belongs to.

    Raises:
        ValueError: no cell, too many, or different numbers of steps.
    """

    def __init__(self, configs: Sequence[RunConfig], slot: str = "sweep"):
        if not 1 <= len(configs) <= MAX_CELLS:
            raise ValueError(f"a sweep in the app has 1 to {MAX_CELLS} cells, got {len(configs)}")
        if len({config.steps for config in configs}) > 1:
            raise ValueError("cells of a sweep share their number of steps")
        super().__init__(SweepSnapshot(0, JobState.QUEUED, tuple(configs), (None,) * len(configs)), slot)
        self._live: LiveTraining | None = None
        self._cells: tuple[int, ...] = ()
        self._pending = list(range(len(configs)))
        self._scores: list[CellScore | None] = [None] * len(configs)
        self._runs: dict[int, Run] = {}
        self._seconds = 0.0

    def run(self, cell: int) -> Run:
        """A finished cell.

        Raises:
            ValueError: it is not finished.
        """
        if cell not in self._runs:
            raise ValueError(f"cell {cell} is not finished")
        return self._runs[cell]

    @property
    def yields(self) -> bool:
        """Whether the job is between two chunks of cells."""
        return self._live is None

    def _unit(self) -> None:
        if self._paused:
            self._stand_still()
            return
        self._paused_at = None
        began = time.perf_counter()
        if self._live is None:
            self._begin_chunk()
        else:
            self._live.advance()
        live = self._live
        assert live is not None
        if live.done:
            self._finish_chunk(live)
        self._seconds += time.perf_counter() - began
        if not self._pending and self._live is None:
            self._publish(JobState.DONE)
        elif self.clock() - self._shown_at > SNAPSHOT_SECONDS or self.yields:
            self._publish(JobState.RUNNING)

    def _begin_chunk(self) -> None:
        configs = self.snapshot.configs
        if not self.snapshot.num_done:
            self._publish(JobState.COMPILING)
        alike = group_by_program([configs[cell] for cell in self._pending])[0]
        self._cells = tuple(self._pending[i] for i in alike[: jax.local_device_count()])
        self._live = LiveTraining([configs[cell] for cell in self._cells], self.clock)
        self._live.advance(1)

    def _finish_chunk(self, live: LiveTraining) -> None:
        for cell, run in zip(self._cells, live.runs(), strict=True):
            self._runs[cell] = run
            self._scores[cell] = _score(run)
            self._pending.remove(cell)
        self._live, self._cells = None, ()

    def _view(self, state: JobState) -> dict[str, Any]:
        return {
            "scores": tuple(self._scores),
            "current": self._cells,
            "step": self._live.step if self._live is not None else 0,
            "seconds": self._seconds,
        }


def _score(run: Run) -> CellScore:
    """A run's score at ``SCORE_N`` samples; NaN where it diverged."""
    history = run.history
    later = history.iloc[len(history) // 2 :]
    measured = CellScore(
        sw1=float("nan"),
        stderr=float("nan"),
        floor=float("nan"),
        loss=float(history["loss"].iloc[-1]) if len(history) else float("nan"),
        grad_variance=float(later["grad_variance"].mean()) if len(later) else float("nan"),
        diverged_at=run.step if run.status == "diverged" else -1,
    )
    if run.status != "done":
        return measured
    found = evaluate(run, ["sliced_w1"], n=SCORE_N, num_keys=SCORE_KEYS)["sliced_w1"]
    return measured._replace(sw1=found.value, stderr=found.stderr, floor=found.floor)
