"""Measured results of methods, proxies and rules: packaged copies of results/*/compare.json."""

import json
from functools import cache
from typing import Any, NamedTuple

from toylab.ui.widgets.thumbnails import ASSETS

FILES = {"methods": "compare_methods.json", "rules": "compare_rules.json"}
"""Comparison -> packaged file; each is a copy of results/NAME/compare.json."""


class Measured(NamedTuple):
    """One contestant on one dataset, sliced W1 over seeds with its 95% interval."""

    dataset: str
    score: float | None
    """None where every run diverged."""
    low: float
    high: float
    floor: float
    n: int
    seeds: int
    diverged: int
    nfe: int
    vanilla: float
    gain: float | None
    """Share of vanilla MeanFlow's score that is gone, paired by seed; None where it cannot be paired."""
    gain_low: float
    gain_high: float


@cache
def _tables() -> dict[str, list[dict[str, Any]]]:
    return {name: json.loads((ASSETS / file).read_text())["table"] for name, file in FILES.items()}


@cache
def measured(contestant: str) -> tuple[Measured, ...]:
    """What was measured of a contestant, dataset by dataset; empty where nothing was."""
    found = []
    for table in _tables().values():
        vanilla = {row["dataset"]: row["sw1"] for row in table if row["contestant"] == "vanilla"}
        found += [_row(row, vanilla) for row in table if row["contestant"] == contestant]
    return tuple(found)


def _row(row: dict[str, Any], vanilla: dict[str, float]) -> Measured:
    same = ("low", "high", "floor", "n", "seeds", "diverged", "nfe", "gain", "gain_low", "gain_high")
    return Measured(
        dataset=row["dataset"],
        score=row["sw1"],
        vanilla=vanilla[row["dataset"]],
        **{name: row[name] for name in same},
    )
