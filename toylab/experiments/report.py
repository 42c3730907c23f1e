"""A folder of runs as tables: a row per run, a row per setting with its interval, paired differences."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from toylab.config import FIELDS, RunConfig
from toylab.metrics.score import HEADLINE, read_score
from toylab.metrics.statistics import NO_INTERVAL, late_mean, mean_interval, paired_difference
from toylab.storage import run_folder
from toylab.storage.npz import with_place

SETTINGS = tuple(name for name in FIELDS if name not in ("seed", "log_every", "eval_samples"))
"""What tells runs apart: the last two say how training was watched, and change nothing in it."""
ALWAYS_SHOWN = ("dataset", "method", "beta")
FLOOR_REPEATS = 4
OTHER_STATUSES = ("diverged", "unfinished", "changed", "unscored")
"""Statuses of runs that are counted, and are in no mean."""
Row = dict[str, Any]
NO_SCORE: Row = {"sw1": math.nan, "stderr": math.nan, "n": 0, "nfe": 0, "floor": math.nan, "source": "none"}


class Report(NamedTuple):
    """The tables of a folder of runs.

    Args:
        runs: a row per run: path, status, step, live changes, settings, seed, sw1, its stderr, n, nfe and floor,
            grad_variance. Besides done, diverged and unfinished the status may be ``changed`` (settings were changed
            while it trained) or ``unscored`` (done, but some samples are not finite).
        table: a row per setting, n and nfe: what distinguishes it, seeds that count, runs of every other status,
            mean sw1 with its 95% interval over seeds, floor, mean grad_variance.
        differences: a row per beta: sw1 minus that of the smallest beta in size on the same seeds, likewise.
        shown: the settings that tell the rows of ``table`` apart.
        damaged: folders that could not be read and are in no table: path and error, which names the file.
    """

    runs: pd.DataFrame
    table: pd.DataFrame
    differences: pd.DataFrame
    shown: tuple[str, ...]
    damaged: tuple[Row, ...] = ()


def make_report(folder: Path) -> Report:
    """Read every run at or below ``folder``.

    Means are of runs that finished with the settings that they began with and with finite samples; all others are
    counted apart, and damaged folders are listed.

    Raises:
        ValueError: no run there, or none that is not damaged; one line that names the file.
        FileNotFoundError: no such folder.
    """
    paths = run_folder.list_runs(folder)
    if not paths:
        raise ValueError(f"{folder}: no run folder in it")
    floors: dict[str, float] = {}
    rows, damaged = [], []
    for path in paths:
        try:
            rows.append(_read_row(path, folder, floors))
        except (OSError, ValueError) as error:
            damaged.append({"path": str(path.relative_to(folder)), "error": with_place(error)})
    if not rows:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise ValueError(damaged[0]["error"] + more)
    varying = [name for name in SETTINGS if name not in ALWAYS_SHOWN and len({row[name] for row in rows}) > 1]
    shown = (*ALWAYS_SHOWN, *varying)
    table, differences = _table(rows, shown), _differences(rows, shown)
    return Report(pd.DataFrame(rows), pd.DataFrame(table), pd.DataFrame(differences), shown, tuple(damaged))


def read_config(path: Path) -> RunConfig:
    """The settings of the run folder ``path``.

    Raises:
        ValueError: not a run folder, or damaged; one line that names the file.
    """
    return _config_of(run_folder.read_run(path))


def _config_of(folder: run_folder.RunFolder) -> RunConfig:
    try:
        return RunConfig.from_dict(folder.header.settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.path / run_folder.CONFIG}: {error}") from None


def _read_row(path: Path, root: Path, floors: dict[str, float]) -> Row:
    folder = run_folder.read_run(path)
    config = _config_of(folder)
    header = folder.header
    score = NO_SCORE
    if header.status == "done":
        score = _read_score(path) or _score_samples(folder, config, floors)
    status = header.status
    if status == "done" and header.changes:
        status = "changed"
    elif status == "done" and not math.isfinite(score["sw1"]):
        status = "unscored"
    changes = ", ".join(f"{name}={value:g} at step {step}" for step, name, value in header.changes)
    row = {"path": str(path.relative_to(root)), "status": status, "step": header.step, "changes": changes}
    row |= {name: _cell(value) for name, value in config.to_dict().items()}
    history = folder.history
    variance = late_mean(history["grad_variance"]) if "grad_variance" in history else math.nan
    return {**row, **score, "grad_variance": variance}


def _cell(value: Any) -> Any:
    """A setting as one cell of a table: options as JSON, or as a hash where they hold arrays."""
    if not isinstance(value, dict):
        return value
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _read_score(path: Path) -> Row | None:
    """The final evaluation that a sweep left in a run folder, or None where it did not measure this metric."""
    score = read_score(path)
    if score is None:
        return None
    value, stderr, n, floor, _, nfe = score
    return {"sw1": value, "stderr": stderr, "n": n, "nfe": nfe, "floor": floor, "source": run_folder.SCORES}


def _score_samples(folder: run_folder.RunFolder, config: RunConfig, floors: dict[str, float]) -> Row:
    """The score of the samples in the folder itself, with the floor at their n; none where some were not finite."""
    from toylab.data import dataset
    from toylab.metrics import floor, metrics
    from toylab.metrics.base import can_be_scored

    if folder.header.nonfinite or not can_be_scored(folder.generated):
        return NO_SCORE
    metric, n = metrics.create(HEADLINE), min(len(folder.generated), len(folder.reference))
    key = json.dumps([config.dataset, config.dataset_options, n], sort_keys=True)
    if key not in floors:
        draw = dataset(config.dataset, **config.dataset_options).sample
        floors[key] = floor(metric, draw, n, num_repeats=FLOOR_REPEATS).value
    value = metric(folder.generated[:n], folder.reference[:n])
    own = {"sw1": value, "n": n, "nfe": folder.header.nfe, "floor": floors[key], "source": run_folder.SAMPLES}
    return NO_SCORE | own


def _table(rows: Sequence[Row], shown: Sequence[str]) -> list[Row]:
    entries = []
    for values, group in _grouped(rows, shown):
        # Runs that did not finish have no n: they are counted with the finished ones of their setting.
        statuses = Counter(row["status"] for row in group)
        counts = {"runs": len(group)} | {name: statuses[name] for name in OTHER_STATUSES}
        done = [row for row in group if row["status"] == "done"]
        for (n, nfe), same in _grouped(done, ["n", "nfe"]) or [((0, 0), [])]:
            # Two runs of one seed (repeats of one config) are one value: the interval is over seeds.
            seeds = [float(np.mean(scores)) for scores in _by_seed(same).values()]
            mean, low, high, _ = mean_interval(seeds) if seeds else NO_INTERVAL
            entry = {
                **dict(zip(shown, values, strict=True)),
                "seeds": len(seeds),
                **counts,
                "n": n,
                "nfe": nfe,
            }
            entry |= {"sw1": mean, "low": low, "high": high}
            entry |= {name: _mean([row[name] for row in same]) for name in ("floor", "grad_variance")}
            entries.append(entry)
    return entries


def _differences(rows: Sequence[Row], shown: Sequence[str]) -> list[Row]:
    done = [row for row in rows if row["status"] == "done"]
    names = [*(name for name in shown if name != "beta"), "n", "nfe"]
    entries = []
    for values, group in _grouped(done, names):
        by_beta = {
            beta: {seed: float(np.mean(scores)) for seed, scores in _by_seed(same).items()}
            for (beta,), same in _grouped(group, ["beta"])
        }
        baseline = min(by_beta, key=lambda beta: (abs(beta), beta))
        for beta, scores in by_beta.items():
            pair = paired_difference(scores, by_beta[baseline]) if beta != baseline else None
            if pair is not None:
                entry = {**dict(zip(names, values, strict=True)), "beta": beta, "baseline": baseline}
                entries.append(
                    entry | {"seeds": pair.n, "difference": pair.mean, "low": pair.low, "high": pair.high}
                )
    return entries


def _grouped(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[tuple, list[Row]]]:
    """Rows with equal values of ``names`` together, sorted by those values."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return sorted(groups.items(), key=lambda item: item[0])


def _by_seed(rows: Sequence[Row]) -> dict[int, list[float]]:
    scores: dict[int, list[float]] = {}
    for row in rows:
        scores.setdefault(row["seed"], []).append(row["sw1"])
    return scores


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
