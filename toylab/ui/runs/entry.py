"""Record of a run that a page shows: settings, history and scores, with points or images, wherever it comes from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from toylab.config import Change, RunConfig
from toylab.experiments.results import Result, run_label
from toylab.metrics.score import Score

if TYPE_CHECKING:  # toylab.training takes about a second to import: not before the first page is drawn
    from toylab.training import Run

EVALUATIONS = (1, 2, 4)
"""Network evaluations per image that the page Images offers."""
DISTANCES = ("FDD", "FFD")
"""Frechet distances of the in-repo feature nets; a run has one of them."""

Kind = Literal["points", "images"]
Bytes = UInt8[np.ndarray, "n height width shown"]


class Number(NamedTuple):
    """A score with all that is needed to read it.

    Args:
        features: ID of the feature net; empty for a score of points.
        value: mean over keys.
        stderr: standard error of that mean over keys; NaN for one key.
        n: samples per key.
        num_keys: independent sets of samples.
        floor: score of real data in place of samples; NaN where it was not measured.
        floor_stderr: standard error of the floor.
        floor_n: real samples behind the floor.
        nfe: network evaluations per sample.
    """

    features: str
    value: float
    stderr: float
    n: int
    num_keys: int
    floor: float
    floor_stderr: float
    floor_n: int
    nfe: int = 1

    @classmethod
    def of(cls, score: Mapping[str, Any]) -> "Number":
        """From the JSON of a `features.ImageScore`."""
        floor = score["floor"] or {"value": None, "stderr": None, "n": 0}
        return cls(
            features=score["features"],
            value=_float(score["value"]),
            stderr=_float(score["stderr"]),
            n=score["n"],
            num_keys=score["num_keys"],
            floor=_float(floor["value"]),
            floor_stderr=_float(floor["stderr"]),
            floor_n=floor["n"],
        )

    @classmethod
    def of_points(cls, score: Score) -> "Number":
        """From the score of a metric of points."""
        return cls(
            "", score.value, score.stderr, score.n, score.num_keys, score.floor, math.nan, score.n, score.nfe
        )

    @property
    def score(self) -> Score:
        """The part that `toylab.experiments.results` compares."""
        return Score(self.value, self.stderr, self.n, self.floor, self.num_keys, self.nfe)


Numbers = Mapping[str, Number]
"""Name of a score -> its value."""


@dataclass(frozen=True)
class Points:
    """Samples in the plane that came with a run.

    Attributes:
        samples: one-step samples from the noise of seed 0, where they came with the run.
        data: data points, likewise.
    """

    samples: Float[np.ndarray, "n 2"] | None = None
    data: Float[np.ndarray, "m 2"] | None = None


@dataclass(frozen=True)
class Images:
    """Pictures and numbers that came with a run on images.

    Attributes:
        grids: network evaluations -> samples from the noise of seed 0, all classes in turn.
        real: real images, likewise.
        scores: network evaluations -> name -> score.
        cost: as `toylab.training.cost.cost` counts it.
        classes: of the data, 0 where they are not known.
    """

    grids: Mapping[int, Bytes] = field(default_factory=dict)
    real: Bytes | None = None
    scores: Mapping[int, Numbers] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    classes: int = 0


class Folder(NamedTuple):
    """A run folder of which only config.json was read so far.

    Args:
        path: of the folder.
        stamp: changes when config.json is written anew.
    """

    path: Path
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A run that a page shows, whether its parameters are here or not.

    Attributes:
        id: of the run, unique within the browser tab.
        label: one line for people.
        config: its settings at the start of training.
        status: done, diverged or unfinished.
        step: steps trained.
        changes: live changes.
        history: indexed by step; empty where the folder is still to be read.
        origin: lab, race, sweep, folder, imported or packaged.
        content: samples that came with it: points or images.
        run: the run with its parameters; None where they are not here. Only then it is sampled and scored.
        note: why its parameters are not here, in a few words.
        unread: the folder that is still to be read, None once all is known.
    """

    id: str
    label: str
    config: RunConfig
    status: str
    step: int
    changes: tuple[Change, ...]
    history: pd.DataFrame
    origin: str
    content: Points | Images = field(default_factory=Points)
    run: "Run | None" = None
    note: str = ""
    unread: Folder | None = None

    @property
    def kind(self) -> Kind:
        """What it generates."""
        return "images" if isinstance(self.content, Images) else "points"

    @property
    def points(self) -> Points:
        """The content of a run in the plane."""
        assert isinstance(self.content, Points)
        return self.content

    @property
    def images(self) -> Images:
        """The content of a run on images."""
        assert isinstance(self.content, Images)
        return self.content

    @property
    def scored(self) -> bool:
        """Whether it may have a new score: a finished run with parameters."""
        return self.run is not None and self.status == "done"

    @property
    def unscored(self) -> str:
        """Why it has no new score, in one line; empty where it may have one."""
        if self.status != "done":
            return f"not scored: {self.status} at step {self.step:,}"
        return "" if self.run is not None else f"not scored: {self.note}"

    @property
    def title(self) -> str:
        """The label, with what distinguishes the run from one that was trained in this tab and finished."""
        marks = [] if self.status == "done" else [f"{self.status} at step {self.step:,}"]
        marks += [self.origin] if self.origin in ("imported", "packaged") else []
        return f"{self.label} ({', '.join(marks)})" if marks else self.label

    def result(self, number: Number) -> Result:
        """The run under one of its scores, for `toylab.experiments.results`."""
        status: Any = "changed" if self.status == "done" and self.changes else self.status
        return Result(self.config, status, number.score, name=self.id)


def entry_of(run: "Run", label: str, origin: str, run_id: str) -> Entry:
    """The entry of a run in the plane whose parameters are here."""
    return Entry(run_id, label, run.config, run.status, run.step, run.changes, run.history, origin, run=run)


def label_of(run: "Run") -> str:
    """A run in one line: two_gaussians β = 1, ema, seed 0."""
    label = run_label(run.config)
    if run.changes:
        return f"{label}, changed from step {min(change.step for change in run.changes):,} on"
    return label


def image_label(config: RunConfig) -> str:
    """A run on images in one line, from the settings that differ most often."""
    what = config.method[:40] if config.method != "meanflow" else f"β = {config.beta:g}"
    if config.method == "meanflow" and config.coefficient != "constant":
        what = f"β {config.coefficient}"
    net = " ".join(str(value) for value in (config.net, config.net_options.get("size", "")) if value)
    return f"{config.dataset}, {what}, {net}, seed {config.seed}"[:100]


def distance_of(names: Mapping[str, Any]) -> str:
    """The name of the Frechet distance among ``names``; empty where there is none."""
    return next((name for name in DISTANCES if name in names), "")


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
