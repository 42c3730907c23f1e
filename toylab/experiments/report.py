"""A folder of runs as tables: a row per run, a row per arm with its interval, differences paired by seed."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from toylab.experiments.results import (
    NO_SCORE,
    SETTINGS,
    Arm,
    Result,
    difference,
    group,
    least_beta,
    result_of,
)
from toylab.metrics.score import HEADLINE, Score
from toylab.storage import run_folder
from toylab.storage.untrusted import with_place

ALWAYS_SHOWN = ("dataset", "method", "beta")
FLOOR_REPEATS = 4
# Statuses of runs that are counted, and are in no mean.
OTHER_STATUSES = ("diverged", "unfinished", "changed", "unscored")
Row = dict[str, Any]


class Report(NamedTuple):
    """The tables of a folder of runs.

    Args:
        runs: a row per run: path, status, step, live changes, settings, seed, sw1, its stderr, n, nfe and floor,
            grad_variance. Besides done, diverged and unfinished the status may be ``changed`` (settings were changed
            while it trained) or ``unscored`` (done, but some samples are not finite).
        table: a row per arm, n and nfe: the settings that distinguish it, seeds that count, runs of every other status,
            mean sw1 with its 95% interval over seeds, floor, mean grad_variance.
        differences: a row per beta: sw1 minus that of the beta of smallest size on the same seeds, likewise.
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
    results: list[Result] = []
    rows: dict[str, Row] = {}
    damaged: list[Row] = []
    for path in paths:
        name = str(path.relative_to(folder))
        try:
            result, rows[name] = _read(path, name, floors)
            results.append(result)
        except (OSError, ValueError) as error:
            damaged.append({"path": name, "error": with_place(error)})
    if not rows:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise ValueError(damaged[0]["error"] + more)
    runs = list(rows.values())
    varying = [name for name in SETTINGS if name not in ALWAYS_SHOWN and len({row[name] for row in runs}) > 1]
    shown = (*ALWAYS_SHOWN, *varying)
    table, differences = _table(results, rows, shown), _differences(results, rows, shown)
    return Report(pd.DataFrame(runs), pd.DataFrame(table), pd.DataFrame(differences), shown, tuple(damaged))


def _read(path: Path, name: str, floors: dict[str, float]) -> tuple[Result, Row]:
    """A run as a result and as a row of the table of runs."""
    folder = run_folder.read_run(path)
    result = result_of(folder, name=name)
    header, source = folder.header, run_folder.SCORES if result.score.n else "none"
    if header.status == "done" and not result.score.n:
        score = _score_samples(folder, result, floors)
        result = result._replace(score=score)
        source = run_folder.SAMPLES if score.n else source
        if result.status == "done" and not result.is_scored:
            result = result._replace(status="unscored")
    changes = ", ".join(f"{setting}={value:g} at step {step}" for step, setting, value in header.changes)
    score = result.score
    row = {"path": name, "status": result.status, "step": header.step, "changes": changes}
    row |= {setting: _cell(value) for setting, value in result.config.to_dict().items()}
    row |= {"sw1": score.value, "stderr": score.stderr, "n": score.n, "nfe": score.nfe, "floor": score.floor}
    return result, {**row, "source": source, **result.others}


def _cell(value: Any) -> Any:
    """A setting as one cell of a table: options as JSON, or as a hash where they hold arrays."""
    if not isinstance(value, dict):
        return value
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 200 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _score_samples(folder: run_folder.RunFolder, result: Result, floors: dict[str, float]) -> Score:
    """The score of the samples in the folder itself, with the floor at their n; none where some were not finite."""
    # Only here, since these imports take a second or more: a folder of scored runs is read without JAX.
    from toylab.data import dataset
    from toylab.metrics import floor, metrics
    from toylab.metrics.base import can_be_scored

    if folder.header.nonfinite or not can_be_scored(folder.generated):
        return NO_SCORE
    config = result.config
    metric, n = metrics.create(HEADLINE), min(len(folder.generated), len(folder.reference))
    key = json.dumps([config.dataset, config.dataset_options, n], sort_keys=True)
    if key not in floors:
        draw = dataset(config.dataset, **config.dataset_options).sample
        floors[key] = floor(metric, draw, n, num_repeats=FLOOR_REPEATS).value
    value = metric(folder.generated[:n], folder.reference[:n])
    return Score(value, math.nan, n, floors[key], 1, folder.header.nfe)


def _table(results: Sequence[Result], rows: Mapping[str, Row], shown: Sequence[str]) -> list[Row]:
    entries = []
    for arm in _sorted_arms(results, _by_cells(rows, shown)):
        # Runs that did not finish have no n: they are counted with the finished ones of their setting.
        counts = {"runs": len(arm.results)} | {status: arm.num(status) for status in OTHER_STATUSES}
        for same in _sorted_arms(arm.counted, _n_and_nfe) or [Arm((0, 0), ())]:
            mean, low, high, seeds = same.interval()
            n, nfe = same.key
            entry = dict(zip(shown, arm.key, strict=True)) | {"seeds": seeds, **counts, "n": n, "nfe": nfe}
            entry |= {"sw1": mean, "low": low, "high": high, "floor": same.floor()}
            entries.append(
                entry | {"grad_variance": same.mean(lambda result: result.others["grad_variance"])}
            )
    return entries


def _differences(results: Sequence[Result], rows: Mapping[str, Row], shown: Sequence[str]) -> list[Row]:
    names = [name for name in shown if name != "beta"]
    cells = _by_cells(rows, names)
    counted = [result for result in results if result.counts]
    entries = []
    for alike in _sorted_arms(counted, lambda result: (*cells(result), *_n_and_nfe(result))):
        arms = {arm.key: arm for arm in _sorted_arms(alike.results, lambda result: result.config.beta)}
        baseline = least_beta(arms)
        for beta, arm in arms.items():
            change = difference(arm, arms[baseline]) if beta != baseline else None
            if change is not None:
                entry = dict(zip([*names, "n", "nfe"], alike.key, strict=True))
                entry |= {"beta": beta, "baseline": baseline, "seeds": change.n}
                entries.append(entry | {"difference": change.mean, "low": change.low, "high": change.high})
    return entries


def _sorted_arms(results: Sequence[Result], key: Callable[[Result], Any]) -> list[Arm]:
    return sorted(group(results, key), key=lambda arm: arm.key)


def _by_cells(rows: Mapping[str, Row], names: Sequence[str]) -> Callable[[Result], tuple]:
    """The key of results by these settings, as the table of runs shows them."""
    return lambda result: tuple(rows[result.name][name] for name in names)


def _n_and_nfe(result: Result) -> tuple[int, int]:
    """Scores of another number of samples or evaluations are not averaged."""
    return result.score.n, result.score.nfe
