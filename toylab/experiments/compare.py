"""Methods side by side under one protocol: the same net, data, noise and budget in network evaluations.

A contestant is a named change of settings, an arm before it has results. Its runs are cells of a sweep, so a comparison
can be stopped, continued and split between machines, and every number in its table can be traced to a run folder.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from toylab.coefficients import coefficients
from toylab.config import RunConfig
from toylab.experiments.results import Arm, Result, gain, group, read_result, shared_seeds
from toylab.experiments.sweep import Cell, cell_name
from toylab.methods import AbstractTwoStageMethod, methods
from toylab.metrics.statistics import NO_INTERVAL
from toylab.proxies import proxies
from toylab.training.cost import network_evaluations
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment, without_unused_settings

# Which of a method's published settings are used: those that define it (IDENTITY); its weighting as well; all of them.
# The first two add what the method needs in a short budget (``adapted``).
PROTOCOLS = ("matched", "weighting", "published")
IDENTITY = frozenset(
    {"beta", "coefficient", "coefficient_options", "proxy", "proxy_options", "target", "target_options"}
)
WEIGHTING = frozenset({"adaptive_power", "adaptive_constant"})
BASELINE = "vanilla"
# Vanilla MeanFlow, the baseline of every gain, whose cost sets the budget.
VANILLA = {"method": "meanflow", "beta": 0.0, "proxy": "conditional"}
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
    chosen: Sequence[Contestant],
    datasets: Sequence[str],
    seeds: Sequence[int],
    steps_of: Callable[[RunConfig], int],
) -> list[tuple[str, Cell]]:
    """Name of the contestant and cell of every run.

    Args:
        base: settings that all share.
        chosen: as from `contestants`.
        datasets: names.
        seeds: of each contestant on each dataset.
        steps_of: steps that the budget pays for: `toylab.training.cost.steps_within` for network evaluations,
            `steps_in_seconds` for wall time.

    Raises:
        ValueError: a bad setting, or a budget that does not pay for a step.
    """
    planned = []
    for dataset in datasets:
        for contestant in chosen:
            config = without_unused_settings(base.replace(dataset=dataset, **contestant.settings))
            config = config.replace(steps=steps_of(config))
            for seed in seeds:
                seeded = config.replace(seed=seed)
                planned.append((contestant.name, Cell(cell_name(seeded), seeded)))
    return planned


def steps_in_seconds(config: RunConfig, seconds: float) -> int:
    """The steps of a single run in ``seconds`` on this machine, compilation not counted.

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
    """Seconds of one compiled training step of a single run on this machine; of two stages the mean, weighted by steps.

    Making the pairs between two stages is not counted.
    """
    experiment = build_experiment(config.replace(steps=20 * TIMED_STEPS))
    ensemble = Ensemble([experiment])
    ensemble.advance(1)  # compiles
    method = experiment.method
    if not isinstance(method, AbstractTwoStageMethod):
        return _least_seconds(ensemble)
    share = float(method.first_stage)
    first = _least_seconds(ensemble)
    ensemble.advance(math.ceil(20 * TIMED_STEPS * share))  # past the change of stage, which makes the pairs
    return share * first + (1 - share) * _least_seconds(ensemble)


def _least_seconds(ensemble: Ensemble) -> float:
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
        results = [_read(name, cell, out) for name, cell in planned if cell.config.dataset == dataset]
        arms = group(results, lambda result: result.name)
        baseline = next(arm for arm in arms if arm.key == BASELINE)
        entries = [_row(arm, baseline) for arm in arms]
        for entry in entries:
            entry["seconds"] = (seconds_of or {}).get(entry["contestant"], math.nan) * entry["steps"]
        rows += sorted(entries, key=lambda entry: (math.isnan(entry["sw1"]), entry["sw1"]))
    return pd.DataFrame(rows)


def _read(name: str, cell: Cell, out: Path) -> Result:
    """The result of one run; one that is missing or unfinished is counted, never an error."""
    result = read_result(out / cell.name, name=name) or Result(cell.config, "missing", name=name)
    # A cell counts by its settings in the plan; a live change does not make it missing.
    status = "done" if result.status == "changed" else result.status
    return result._replace(config=cell.config, status=status)


def _row(arm: Arm, baseline: Arm) -> dict[str, Any]:
    config = arm.results[0].config
    sw1, reduction = arm.interval(), gain(arm, baseline) or NO_INTERVAL
    diverged = arm.num("diverged", "unscored")  # unscored: finished, but its samples ran to infinity
    cost = network_evaluations(config)
    return {
        "dataset": config.dataset,
        "contestant": arm.key,
        "sw1": sw1.mean,
        "low": sw1.low,
        "high": sw1.high,
        "floor": arm.floor(),
        "n": next((result.score.n for result in arm.counted), 0),
        "nfe": next((result.score.nfe for result in arm.counted), 0),
        "seeds": sw1.n,
        "diverged": diverged,
        "missing": len(arm.results) - len(arm.counted) - diverged,
        "gain": reduction.mean,
        "gain_low": reduction.low,
        "gain_high": reduction.high,
        "gain_over_floor": _gain_over_floor(arm, baseline),
        "grad_variance": arm.mean(lambda result: result.others["grad_variance"]),
        "steps": config.steps,
        "evaluations_per_example": cost.per_example,
        "evaluations": cost.total,
    }


def _gain_over_floor(arm: Arm, baseline: Arm) -> float:
    """The gain in what sw1 has above the floor; NaN where a run of the baseline has nothing above it."""
    seeds = shared_seeds(arm, baseline)
    if not seeds or min(baseline.by_seed(_excess)[seed] for seed in seeds) <= 0:
        return math.nan
    return (gain(arm, baseline, _excess) or NO_INTERVAL).mean


def _excess(result: Result) -> float:
    return result.value - result.score.floor


def _expand(names: Sequence[str], registry) -> list[str]:
    if list(names) == ["all"]:
        return registry.names()
    return [registry.entry(name).name for name in names]


def _published(name: str, protocol: str) -> dict[str, Any]:
    """The published settings of a method that the protocol uses."""
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
