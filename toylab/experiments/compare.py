"""Methods side by side under one protocol: the same net, data, noise and budget in network evaluations.

A contestant is a named change of settings. Its runs are cells of a sweep, so a comparison can be stopped, continued and
parted between machines, and every number in its table can be traced to a run folder.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from toylab.coefficients import coefficients
from toylab.config import RunConfig
from toylab.experiments.sweep import Cell, cell_name
from toylab.methods import AbstractTwoStageMethod, methods
from toylab.metrics.score import read_score
from toylab.metrics.statistics import NO_INTERVAL, late_mean, mean_interval, paired, relative_gain
from toylab.proxies import proxies
from toylab.storage import run_folder
from toylab.training.budget import network_evaluations
from toylab.training.experiment import without_unused_settings

PROTOCOLS = ("matched", "weighting", "published")
"""What of a method's published settings is used: only what the method is; its weighting as well; all of them. But for
the last, what it needs in a short budget (``adapted``) is added."""

IDENTITY = frozenset(
    {"beta", "coefficient", "coefficient_options", "proxy", "proxy_options", "target", "target_options"}
)
WEIGHTING = frozenset({"adaptive_power", "adaptive_constant"})
BASELINE = "vanilla"
VANILLA = {"method": "meanflow", "beta": 0.0, "proxy": "conditional"}
"""Vanilla MeanFlow, against which everything is measured, and whose cost sets the budget."""
TIMED_STEPS = 100


class Contestant(NamedTuple):
    """A named change of settings."""

    name: str
    settings: Mapping[str, Any]


def contestants(
    method_names: Sequence[str] = (),
    rules: Sequence[str] = (),
    proxy_names: Sequence[str] = (),
    protocol: str = "matched",
) -> list[Contestant]:
    """Vanilla MeanFlow, then methods, then MeanFlow with each rule, then with each proxy as tangent AND target.

    Args:
        method_names: registered methods, or ``all``.
        rules: coefficient rules of MeanFlow with the EMA tangent, or ``all``.
        proxy_names: proxies of MeanFlow at beta = 1 in both places, or ``all``.
        protocol: see `PROTOCOLS`.

    Raises:
        ValueError: an unknown name or protocol; the message names the choices.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; choices: {', '.join(PROTOCOLS)}")
    chosen = [Contestant(BASELINE, VANILLA)]
    for name in _expand(method_names, methods):
        chosen.append(Contestant(name, {"method": name, **_published(name, protocol)}))
    for name in _expand(rules, coefficients):
        settings = {"method": "meanflow", "proxy": "ema", "beta": 1.0, "coefficient": name}
        chosen.append(Contestant(f"rule {name}", settings))
    for name in _expand(proxy_names, proxies):
        settings = {"method": "meanflow", "beta": 1.0, "proxy": name, "target": name}
        chosen.append(Contestant(f"proxy {name}", settings))
    return chosen


def budget_of(base: RunConfig) -> float:
    """Network evaluations that vanilla MeanFlow spends on the steps of ``base``."""
    return network_evaluations(base.replace(**VANILLA)).total


def plan(
    base: RunConfig,
    entrants: Sequence[Contestant],
    datasets: Sequence[str],
    seeds: Sequence[int],
    steps_of: Callable[[RunConfig], int],
) -> list[tuple[str, Cell]]:
    """Name of the contestant and cell of every run.

    Args:
        base: settings that all share.
        entrants: as from `contestants`.
        datasets: names.
        seeds: of each contestant on each dataset.
        steps_of: steps that the budget pays for: `toylab.training.budget.steps_within` for network evaluations,
            `steps_in_seconds` for wall time.

    Raises:
        ValueError: a bad setting, or a budget that does not pay for a step.
    """
    planned = []
    for dataset in datasets:
        for entrant in entrants:
            config = without_unused_settings(base.replace(dataset=dataset, **entrant.settings))
            config = config.replace(steps=steps_of(config))
            for seed in seeds:
                seeded = config.replace(seed=seed)
                planned.append((entrant.name, Cell(cell_name(seeded), seeded)))
    return planned


def steps_in_seconds(config: RunConfig, seconds: float) -> int:
    """The steps that a lone lane does in ``seconds`` on this machine, compilation left out.

    Raises:
        ValueError: less than the time of one step.
    """
    each = step_seconds(config)
    if seconds < each:
        raise ValueError(
            f"{seconds:g} s do not pay for a step of {config.method!r}, which takes {each:.2g} s"
        )
    return int(seconds / each)


def step_seconds(config: RunConfig) -> float:
    """Seconds of one training step of a lone lane on this machine, compiled; the mean over stages, pairs left out."""
    from toylab.training.ensemble import Ensemble
    from toylab.training.experiment import build_experiment

    experiment = build_experiment(config.replace(steps=20 * TIMED_STEPS))
    ensemble = Ensemble([experiment])
    ensemble.advance(1)  # compiles
    method = experiment.method
    if not isinstance(method, AbstractTwoStageMethod):
        return _least_seconds(ensemble)
    share = float(method.first_stage)
    first = _least_seconds(ensemble)
    ensemble.advance(math.ceil(20 * TIMED_STEPS * share))  # past the passage, which makes the pairs
    return share * first + (1 - share) * _least_seconds(ensemble)


def _least_seconds(ensemble) -> float:
    stretches = []
    for _ in range(3):
        begin = time.perf_counter()
        ensemble.advance(TIMED_STEPS)
        stretches.append((time.perf_counter() - begin) / TIMED_STEPS)
    return min(stretches)


def tabulate(
    planned: Sequence[tuple[str, Cell]], out: Path, seconds_of: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """A row per dataset and contestant, best first, from the run folders below ``out``.

    Args:
        planned: as from `plan`.
        out: folder with the runs.
        seconds_of: contestant -> seconds of a step.

    Returns:
        dataset, contestant, sw1 with its 95% t interval over seeds, floor, n, nfe (evaluations per sample), seeds,
        diverged, missing; gain (relative reduction of sw1 against vanilla, mean of pairs that share a seed) with its
        interval; gain_over_floor, the same for sw1 minus the floor, NaN where a vanilla run has reached it;
        grad_variance (mean of the last half); steps, evaluations per example, evaluations, seconds of a lone lane.
    """
    rows = []
    for dataset in dict.fromkeys(cell.config.dataset for _, cell in planned):
        scores: dict[str, dict[int, dict]] = {}
        configs: dict[str, RunConfig] = {}
        for name, cell in planned:
            if cell.config.dataset == dataset:
                scores.setdefault(name, {})[cell.config.seed] = _read(out / cell.name)
                configs.setdefault(name, cell.config)
        baseline = _finished(scores[BASELINE])
        entries = [_row(name, scores[name], baseline, configs[name]) for name in scores]
        for entry in entries:
            entry["seconds"] = (seconds_of or {}).get(entry["contestant"], math.nan) * entry["steps"]
        rows += sorted(entries, key=lambda entry: (math.isnan(entry["sw1"]), entry["sw1"]))
    return pd.DataFrame(rows)


def _row(
    name: str, by_seed: Mapping[int, dict], baseline: Mapping[int, dict], config: RunConfig
) -> dict[str, Any]:
    done = _finished(by_seed)
    sw1 = mean_interval([score["sw1"] for score in done.values()]) if done else NO_INTERVAL
    floor = float(np.mean([score["floor"] for score in done.values()])) if done else math.nan
    gain = relative_gain(_column(done, "sw1"), _column(baseline, "sw1")) or NO_INTERVAL
    variances = [score["grad_variance"] for score in done.values() if math.isfinite(score["grad_variance"])]
    cost = network_evaluations(config)
    return {
        "dataset": config.dataset,
        "contestant": name,
        "sw1": sw1.mean,
        "low": sw1.low,
        "high": sw1.high,
        "floor": floor,
        "n": next((score["n"] for score in done.values()), 0),
        "nfe": next((score["nfe"] for score in done.values()), 0),
        "seeds": len(done),
        "diverged": sum(score["status"] == "diverged" for score in by_seed.values()),
        "missing": sum(score["status"] not in ("done", "diverged") for score in by_seed.values()),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_over_floor": _gain_over_floor(done, baseline),
        "grad_variance": float(np.mean(variances)) if variances else math.nan,
        "steps": config.steps,
        "evaluations_per_example": cost.per_example,
        "evaluations": cost.total,
    }


def _gain_over_floor(done: Mapping[int, dict], baseline: Mapping[int, dict]) -> float:
    """The gain in what sw1 has above the floor; NaN where a run of the baseline has nothing above it."""
    pairs = paired(_column(done, "excess"), _column(baseline, "excess"))
    if not pairs or min(base for _, base in pairs) <= 0:
        return math.nan
    return float(np.mean([1 - value / base for value, base in pairs]))


def _read(folder: Path) -> dict[str, Any]:
    """Status and score of one run; a run that is missing or unfinished is counted, never an error."""
    if not run_folder.is_run(folder):
        return {"status": "missing"}
    read = run_folder.read_run(folder)
    status = read.header.status
    score = read_score(folder) if status == "done" else None
    if score is None:
        return {"status": "diverged" if status == "diverged" else "unfinished"}
    if math.isnan(score.value):  # finished, but its samples ran to infinity
        return {"status": "diverged"}
    return {
        "status": "done",
        "sw1": score.value,
        "excess": score.value - score.floor,
        "floor": score.floor,
        "n": score.n,
        "nfe": score.nfe,
        "grad_variance": late_mean(read.history["grad_variance"]),
    }


def _finished(by_seed: Mapping[int, dict]) -> dict[int, dict]:
    return {seed: score for seed, score in by_seed.items() if score["status"] == "done"}


def _column(done: Mapping[int, dict], name: str) -> dict[int, float]:
    return {seed: score[name] for seed, score in done.items()}


def _expand(names: Sequence[str], registry) -> list[str]:
    if list(names) == ["all"]:
        return registry.names()
    return [registry.entry(name).name for name in names]


def _published(name: str, protocol: str) -> dict[str, Any]:
    """What the protocol takes of a method's published settings."""
    build = methods.entry(name).build
    published: Mapping[str, Any] = getattr(build, "published", {})
    keys = {"matched": IDENTITY, "weighting": IDENTITY | WEIGHTING, "published": frozenset(published)}[
        protocol
    ]
    settings = {key: value for key, value in published.items() if key in keys}
    if protocol != "published":
        settings |= getattr(build, "adapted", {})
    if getattr(build, "uses_beta", False):
        settings = {"beta": 1.0, **settings}
    return settings
