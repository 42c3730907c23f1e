"""The plan of a sweep as one file, so that every machine trains parts of the same list."""

from pathlib import Path
from typing import Any, NamedTuple

from toylab.config import RunConfig
from toylab.experiments.sweep.cells import MAX_CELLS, Cell, cell_name
from toylab.experiments.sweep.running import Scoring
from toylab.features.base import feature_nets
from toylab.metrics import metrics
from toylab.storage.atomic import atomic_write_json
from toylab.storage.untrusted import one_line, read_json

PLAN = "sweep.json"
SCHEMA = 1
MAX_BYTES = 256 * 2**20
MAX_N, MAX_KEYS = 1_000_000, 1_000


class SweepPlan(NamedTuple):
    """The runs of a sweep and their scoring.

    Args:
        cells: runs, each once.
        scoring: the final evaluation of each.
    """

    cells: tuple[Cell, ...]
    scoring: Scoring


def write_plan(folder: Path, plan: SweepPlan) -> Path:
    """Write sweep.json into ``folder``, whole or not at all; the same plan again is no change.

    Raises:
        ValueError: ``folder`` holds another plan, perhaps with its runs.
        OSError: the disk refuses.
    """
    path = folder / PLAN
    if path.exists() and read_plan(folder) != plan:
        raise ValueError(f"{path} is another plan: choose another --out, or delete the file")
    content = {
        "schema": SCHEMA,
        "scoring": plan.scoring._asdict(),
        "cells": [{"name": cell.name, "settings": cell.config.to_dict()} for cell in plan.cells],
    }
    atomic_write_json(path, content)
    return path


def read_plan(folder: Path) -> SweepPlan:
    """The plan in ``folder``, checked: names follow from settings, so that no name leads out of the folder.

    Raises:
        ValueError: no plan there, a damaged one, or one whose names this version gives otherwise; one line.
    """
    path = folder / PLAN
    try:
        return _parse(read_json(path, MAX_BYTES))
    except FileNotFoundError:
        raise ValueError(f"{path}: no plan there; make one with toylab sweep plan --out {folder}") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else one_line(error)
        raise ValueError(f"{path}: {reason}") from None


def _parse(content: Any) -> SweepPlan:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"is no plan of a sweep (schema {SCHEMA})")
    found = content["cells"]
    if not isinstance(found, list) or not 0 < len(found) <= MAX_CELLS:
        raise ValueError(f"must have 1 to {MAX_CELLS} cells in a list")
    cells = tuple(Cell(item["name"], RunConfig.from_dict(item["settings"])) for item in found)
    for cell in cells:
        if cell.name != (expected := cell_name(cell.config)):
            raise ValueError(
                f"names a cell {str(cell.name)[:80]!r} whose settings give {expected!r}: plan it again"
            )
    if len({cell.name for cell in cells}) < len(cells):
        raise ValueError("lists a cell twice")
    return SweepPlan(cells, _scoring(content["scoring"]))


def _scoring(found: Any) -> Scoring:
    names, n, num_keys = (found[field] for field in ("names", "n", "num_keys"))
    net = found.get("features", "")  # plans from before images were scored do not say
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise ValueError(f"scoring must name metrics, got {str(names)[:60]}")
    if not isinstance(net, str):
        raise ValueError(f"features of the scoring must be the name of a net, got {str(net)[:60]}")
    if net:
        feature_nets.entry(net.partition(":")[0])
    else:
        for name in names:
            metrics.entry(name)
    for field, value, high in (("n", n, MAX_N), ("num_keys", num_keys, MAX_KEYS)):
        if value is None and field == "n":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= high:
            raise ValueError(
                f"{field} of the scoring must be a whole number in [1, {high}], got {str(value)[:60]}"
            )
    return Scoring(tuple(names), n, num_keys, net)
