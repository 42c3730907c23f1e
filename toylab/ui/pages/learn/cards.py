"""Prepared states of the Lab, each with what to do, what to look at and why, and with what was measured there."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from toylab.ui import ASSETS

NUM_SEEDS = 5
SCORE_N = 16_384
"""Seeds of every card's measurement, and samples per score (scripts/measure_cards.py)."""


class Card(NamedTuple):
    """A state of the Lab, and one sentence on it in three parts."""

    name: str
    title: str
    settings: Mapping[str, Any]
    """What differs from the Lab's defaults."""
    do: str
    look: str
    because: str


class Evidence(NamedTuple):
    """Sliced W1 of both lanes at the end of training, seed by seed; the lanes share data, noise and times."""

    settings: dict[str, Any]
    beta: float
    steps: int
    chosen: list[float]
    baseline: list[float]
    change: tuple[float, float, float] | None
    """Mean of chosen / baseline - 1, paired by seed, with its 95% interval (Student's t)."""
    floor: float | None
    diverged_at: list[int]
    """Step at which each run of the chosen lane diverged, if all did."""
    n: int
    seeds: int


CARDS = (
    Card(
        "far",
        "β decides",
        {},
        "Press Start: two far modes, a small batch.",
        "the points between the modes.",
        "At β = 0 the noise of the tangent is multiplied there, and the net cannot part the modes in this budget.",
    ),
    Card(
        "moons",
        "β makes no difference",
        {"dataset": "two_moons"},
        "Press Start: data that hang together.",
        "both squares and both distances.",
        "The flow stretches little between the moons, so the noise is hardly multiplied.",
    ),
    Card(
        "checkerboard",
        "β makes a small one",
        {"dataset": "checkerboard"},
        "Press Start: many cells with gaps between them.",
        "the distances; the squares look alike.",
        "There are edges to part at, but near ones: less is multiplied than between far modes.",
    ),
    Card(
        "short",
        "β = 1 loses",
        {"dataset": "eight_gaussians", "steps": 1_000},
        "Press Start: 1,000 steps only.",
        "gradient variance and distance: less noise, and yet worse samples.",
        "The proxy is an average over about the last thousand steps: it still remembers the untrained net.",
    ),
    Card(
        "oracle",
        "The best proxy there is",
        {"proxy": "oracle"},
        "Press Start: the exact velocity stands in the tangent.",
        "the last distance, against that of *β decides*.",
        "No proxy has less error than none; what is left is the target's noise and the net.",
    ),
    Card(
        "beyond",
        "Beyond 1",
        {"beta": 2.0},
        "Press Start: more proxy than all of it.",
        "the last distance, against that of *β decides*.",
        "β = 2 takes $\\hat v$ twice and $v_\\text{cond}$ away: the noise is back with the other sign.",
    ),
    Card(
        "fast",
        "Too fast",
        {"lr": 1.0},
        "Press Start, then *Retry* with a third of the rate.",
        "the line under the squares.",
        "A run that explodes is stopped, named, and has no score. A rate that survives need not learn.",
    ),
)


@cache
def evidence() -> dict[str, Evidence]:
    """What was measured, by the name of the card."""
    content = json.loads((ASSETS / "cards.json").read_text())
    return {
        name: Evidence(**{**record, "change": record["change"] and tuple(record["change"])})
        for name, record in content["cards"].items()
    }
