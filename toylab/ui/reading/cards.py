"""Prepared states of the Lab, each with what to do, what to look at and why, and with what was measured there."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from toylab.ui.thumbnails import ASSETS

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
    difference: tuple[float, float, float] | None
    """Mean of chosen minus baseline with its 95% interval (Student's t)."""
    floor: float | None
    diverged_at: list[int]
    """Step at which each run of the chosen lane diverged, if all did."""
    n: int
    seeds: int


CARDS = ()


@cache
def evidence() -> dict[str, Evidence]:
    """What was measured, by the name of the card."""
    content = json.loads((ASSETS / "cards.json").read_text())
    return {
        name: Evidence(**{**record, "difference": record["difference"] and tuple(record["difference"])})
        for name, record in content["cards"].items()
    }
