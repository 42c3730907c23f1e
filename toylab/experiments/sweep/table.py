"""Finished runs of a named grid as a table, a row per dataset and beta, and the content of study.json."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from toylab.config import RunConfig
from toylab.devices.parallel import matmul_precision
from toylab.experiments.results import NO_SCORE, Reading, Result, difference, group, least_beta, reading
from toylab.experiments.sweep.cells import Cell
from toylab.experiments.sweep.grids import NamedGrid
from toylab.experiments.sweep.merging import Merged, merge
from toylab.metrics.score import Score
from toylab.metrics.statistics import NO_INTERVAL
from toylab.storage.provenance import environment

# Readings as study.json and table.md have them since before there was one vocabulary: readers of these files compare
# strings. A single seed has no interval and is "not told apart".
WORDS = {
    Reading.BETTER: "better",
    Reading.WORSE: "worse",
    Reading.NO_DIFFERENCE: "not told apart",
    Reading.NO_INTERVAL: "not told apart",
}


def findings(grid: NamedGrid, out: Path, timing: dict[str, Any]) -> dict[str, Any]:
    """The content of study.json: the table of the finished runs, the names of the others, timing and environment."""
    merged = merge(grid.plan, [out], partial=True)
    return {
        "study": grid.name,
        "question": grid.question,
        "metric": grid.metric,
        "scoring": grid.scoring._asdict(),
        "settings": common_settings(grid.cells),
        "table": grid_table(results_of(merged, grid.metric)),
        "runs": [
            {
                "name": row["name"],
                "dataset": row["settings"]["dataset"],
                "beta": row["settings"]["beta"],
                "seed": row["settings"]["seed"],
                "status": row["status"],
                "step": row["step"],
                "scores": row["scores"],
            }
            for row in merged.rows
        ],
        "missing": list(merged.missing),
        "timing": timing,
        "device": devices(),
        "matmul_precision": matmul_precision(),
        "environment": environment(),
    }


def devices() -> str:
    """The devices of this process: how many of which kind."""
    return f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"


def common_settings(cells: Sequence[Cell]) -> dict[str, Any]:
    """The settings that every run shares."""
    settings = [cell.config.to_dict() for cell in cells]
    return {
        name: value for name, value in settings[0].items() if all(each[name] == value for each in settings)
    }


def results_of(merged: Merged, metric: str) -> list[Result]:
    """The runs of a sweep under one of their scores."""
    results = []
    for row in merged.rows:
        score = row["scores"].get(metric)
        found = NO_SCORE if score is None else Score(**{name: _or_nan(part) for name, part in score.items()})
        results.append(Result(RunConfig.from_dict(row["settings"]), row["status"], found, name=row["name"]))
    return results


def grid_table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row per dataset and beta, in order of appearance; intervals are 95%, Student's t over seeds.

    Returns:
        rows with dataset, beta, seeds, lost (runs without a finite score, which are in no mean), n, value, low, high,
        floor; and against the beta of the dataset that is smallest in size: baseline, difference, difference_low,
        difference_high, paired by seed, with a reading (`WORDS`).
    """
    rows = []
    for alike in group(results, lambda result: result.config.dataset):
        arms = group(alike.results, lambda result: result.config.beta)
        baseline = next(arm for arm in arms if arm.key == least_beta(each.key for each in arms))
        for arm in arms:
            mean = arm.interval()
            change = difference(arm, baseline) if arm is not baseline else None
            found = change or NO_INTERVAL
            rows.append(
                {
                    "dataset": alike.key,
                    "beta": arm.key,
                    "seeds": mean.n,
                    "lost": len(arm.results) - len(arm.counted),
                    "n": max((result.score.n for result in arm.counted), default=0),
                    "value": mean.mean,
                    "low": mean.low,
                    "high": mean.high,
                    "floor": max((result.score.floor for result in arm.counted), default=math.nan),
                    "baseline": baseline.key,
                    "difference": found.mean,
                    "difference_low": found.low,
                    "difference_high": found.high,
                    "reading": "" if change is None else WORDS[reading(change)],
                }
            )
    return rows


def _or_nan(part: Any) -> Any:
    return math.nan if part is None else part
