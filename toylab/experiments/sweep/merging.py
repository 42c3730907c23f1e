"""The results of all shards as one table; missing cells are named."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from toylab.config import FIELDS
from toylab.experiments.sweep.cells import Cell
from toylab.experiments.sweep.planfile import SweepPlan
from toylab.experiments.sweep.running import Scoring, is_finished
from toylab.metrics.score import read_score
from toylab.storage import run_folder
from toylab.storage.atomic import atomic_write_json, atomic_write_text
from toylab.storage.provenance import environment

# Stem of results.json and results.csv in a sweep's folder.
RESULTS = "results"
# Missing cells that an error names; the rest are counted.
SHOWN = 20


class Merged(NamedTuple):
    """The results of a sweep.

    Args:
        rows: per finished cell: name, folder, settings, status (done or diverged), step, scores (metric -> JSON).
        missing: names of cells that are not finished anywhere.
    """

    rows: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]


def merge(plan: SweepPlan, folders: Sequence[Path], partial: bool = False) -> Merged:
    """Look for every cell of ``plan`` in ``folders``, in their order; the first finished one counts.

    Args:
        plan: of the sweep.
        folders: that machines have written runs into.
        partial: leave out what is missing.

    Raises:
        ValueError: missing cells without ``partial``, or a damaged run; one line that names them.
    """
    rows, missing = [], []
    for cell in plan.cells:
        found = next((f / cell.name for f in folders if is_finished(f / cell.name, plan.scoring)), None)
        if found is None:
            missing.append(cell.name)
        else:
            rows.append(_row(cell, found, plan.scoring))
    if missing and not partial:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ValueError(
            f"{len(missing)} of {len(plan.cells)} cells are not finished: {', '.join(missing[:SHOWN])}{more} "
            "(train them, or merge with --partial)"
        )
    return Merged(tuple(rows), tuple(missing))


def write_merged(folder: Path, merged: Merged) -> list[Path]:
    """Write results.json, and results.csv with a column per setting that varies; returns both paths."""
    json_path, csv_path = folder / f"{RESULTS}.json", folder / f"{RESULTS}.csv"
    content = {"environment": environment(), "missing": list(merged.missing), "cells": list(merged.rows)}
    atomic_write_json(json_path, content)
    stream = io.StringIO()
    as_table(merged).to_csv(stream, index=False)
    atomic_write_text(csv_path, stream.getvalue())
    return [json_path, csv_path]


def as_table(merged: Merged) -> pd.DataFrame:
    """A row per cell: name, status, the settings that vary, and value, stderr, n and floor of each score."""
    varying = [field for field in FIELDS if len({str(row["settings"][field]) for row in merged.rows}) > 1]
    records = []
    for row in merged.rows:
        record = {"name": row["name"], "status": row["status"]}
        record |= {field: row["settings"][field] for field in varying}
        for metric, score in row["scores"].items():
            record |= {f"{metric}_{part}": score[part] for part in ("value", "stderr", "n", "floor")}
        records.append(record)
    return pd.DataFrame(records)


def _row(cell: Cell, folder: Path, scoring: Scoring) -> dict[str, Any]:
    header = run_folder.read_run(folder).header
    scores = {name: score.to_json() for name in scoring.names if (score := read_score(folder, name))}
    return {
        "name": cell.name,
        "folder": str(folder),
        "settings": cell.config.to_dict(),
        "status": header.status,
        "step": header.step,
        "scores": scores,
    }
