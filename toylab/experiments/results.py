"""Results of runs, grouped into arms and compared: the one core of reports, comparisons, claims, sweeps and the app.

A `Result` is one run under one score. An `Arm` is one competing setting: its results by seed. All else is a view:

    results = [read_result(path) for path in paths]        # or Result(config, "done", score) from memory
    arms = group(results)                                  # equal settings but for the seed; or group(results, key)
    arms[0].interval()                                     # mean over seeds with its 95% t interval
    difference(arms[1], arms[0])                           # paired by seed: arm minus baseline, None without a pair
    gain(arms[1], arms[0])                                 # paired by seed: 1 - arm / baseline
    reading(interval)                                      # better, worse, no difference found, no interval

Views that compare chosen runs, of which several may be seeds of one arm (the pages Compare and Images), take
`contrasts(arms, pinned)`: a `Contrast` for each arm against that of the pinned run, paired by seed where they share two
or more, else from the standard errors of the scores. A run has a Result per score; those of different scores (Frechet
distance, kernel distance) are grouped apart. The grid of the page Sweep takes
``group(results, lambda result: result.config.beta)`` and the interval of each arm.

Only results with status "done" and a finite score are in a mean (`Result.counts`); an arm counts the others by status.
Texts are in one place each: `Reading`, `arm_label`, `run_label`; numbers are written by `toylab.formatting`.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from toylab.config import FIELDS, RunConfig
from toylab.metrics.score import HEADLINE, Score, read_score
from toylab.metrics.statistics import (
    NO_INTERVAL,
    Interval,
    difference_of_means,
    late_mean,
    mean_interval,
    paired_difference,
    relative_gain,
)
from toylab.storage import run_folder

NO_SCORE = Score(math.nan, math.nan, 0, math.nan, 0, 0)
# log_every and eval_samples say how training was measured, and change nothing in it.
SETTINGS = tuple(name for name in FIELDS if name not in ("seed", "log_every", "eval_samples"))


class Result(NamedTuple):
    """One run under one score.

    Args:
        config: its settings.
        status: done, diverged, unfinished; changed (settings were changed while it trained), unscored (done, but some
            samples are not finite), missing (no run folder).
        score: value with standard error, n, floor, keys and evaluations; `NO_SCORE` where there is none.
        others: further numbers by name, such as grad_variance.
        name: of the run in the view that compares it: path, ID, letter.
    """

    config: RunConfig
    status: str
    score: Score = NO_SCORE
    others: Mapping[str, float] = MappingProxyType({})
    name: str = ""

    @property
    def seed(self) -> int:
        """Seed of training: runs that share it share initial parameters, data, noise and times."""
        return self.config.seed

    @property
    def value(self) -> float:
        """The score's value, NaN without one."""
        return self.score.value

    @property
    def is_scored(self) -> bool:
        """Whether there is a score of finite samples."""
        return math.isfinite(self.score.value)

    @property
    def counts(self) -> bool:
        """Whether it is in means: trained to the end with constant settings, and scored."""
        return self.status == "done" and self.is_scored


Read = Callable[[Result], float]


def value_of(result: Result) -> float:
    """The score's value: what is compared unless a view says otherwise."""
    return result.score.value


class Arm(NamedTuple):
    """One competing setting with its results.

    Args:
        key: what its results share: a name, a coefficient, or all settings but the seed (`settings_key`).
        results: in order of appearance, those that count and the others.
    """

    key: Any
    results: tuple[Result, ...]

    @property
    def counted(self) -> tuple[Result, ...]:
        """The results that are in means."""
        return tuple(result for result in self.results if result.counts)

    def by_seed(self, read: Read = value_of) -> dict[int, float]:
        """Seed -> value; repeats of a seed are one value, their mean, since intervals are over seeds."""
        values: dict[int, list[float]] = {}
        for result in self.counted:
            values.setdefault(result.seed, []).append(read(result))
        return {seed: float(np.mean(same)) for seed, same in values.items()}

    def interval(self, read: Read = value_of) -> Interval:
        """Mean over seeds with its 95% t interval; `NO_INTERVAL` where no result counts."""
        values = list(self.by_seed(read).values())
        return mean_interval(values) if values else NO_INTERVAL

    def mean(self, read: Read) -> float:
        """Mean of what is finite over the results that count; NaN without any."""
        return finite_mean(map(read, self.counted))

    def floor(self) -> float:
        """Mean floor of the results that count."""
        return self.mean(lambda result: result.score.floor)

    def num(self, *statuses: str) -> int:
        """How many results have one of these statuses."""
        return sum(result.status in statuses for result in self.results)


def finite_mean(values: Iterable[float]) -> float:
    """Mean of the finite values, NaN without any.

    >>> finite_mean([1.0, math.nan, 3.0])
    2.0
    """
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def read_result(folder: Path, metric: str = HEADLINE, name: str = "") -> Result | None:
    """The result in a run folder, with its gradient variance (mean of the later half of training) in ``others``.

    A run that is done and was never scored has `NO_SCORE`. None where there is no run folder.

    Raises:
        ValueError: a damaged folder; one line that names the file.
    """
    if not run_folder.is_run(folder):
        return None
    return result_of(run_folder.read_run(folder), metric, name)


def result_of(folder: run_folder.RunFolder, metric: str = HEADLINE, name: str = "") -> Result:
    """The result in a run folder that was read already; see `read_result`."""
    header, score = folder.header, NO_SCORE
    if header.status == "done":
        score = read_score(folder.path, metric) or NO_SCORE
    status = header.status
    if status == "done" and header.changes:
        status = "changed"
    elif status == "done" and score.n and not math.isfinite(score.value):
        status = "unscored"
    history = folder.history
    variance = late_mean(history["grad_variance"]) if "grad_variance" in history else math.nan
    return Result(config_of(folder), status, score, {"grad_variance": variance}, name)


def config_of(folder: run_folder.RunFolder) -> RunConfig:
    """The settings in a run folder.

    Raises:
        ValueError: settings that this version does not take; one line that names the file.
    """
    try:
        return RunConfig.from_dict(folder.header.settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.path / run_folder.CONFIG}: {error}") from None


def read_config(path: Path) -> RunConfig:
    """The settings of the run folder ``path``.

    Raises:
        ValueError: not a run folder, or damaged; one line that names the file.
    """
    return config_of(run_folder.read_run(path))


def settings_key(config: RunConfig) -> Hashable:
    """What tells arms apart: every setting but the seed and how training was measured."""
    return tuple(_hashable(getattr(config, name)) for name in SETTINGS)


def same_settings(result: Result) -> Hashable:
    """The usual key of `group`: equal settings are one arm; a run that was changed on the way is one by itself."""
    return settings_key(result.config), result.name if result.status == "changed" else None


def group(results: Iterable[Result], key: Callable[[Result], Hashable] = same_settings) -> list[Arm]:
    """Results with equal ``key`` as one arm, in order of appearance."""
    groups: dict[Hashable, list[Result]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return [Arm(shared, tuple(same)) for shared, same in groups.items()]


def least_beta(betas: Iterable[float]) -> float:
    """The beta that is a baseline among ``betas``: the smallest in size, and of two the negative one.

    >>> least_beta([1.0, 0.5, -0.5])
    -0.5
    """
    return min(betas, key=lambda beta: (abs(beta), beta))


def shared_seeds(arm: Arm, baseline: Arm) -> tuple[int, ...]:
    """Seeds with a result that counts in both arms."""
    return tuple(sorted(set(arm.by_seed()) & set(baseline.by_seed())))


def difference(arm: Arm, baseline: Arm, read: Read = value_of) -> Interval | None:
    """Arm minus baseline, mean over the seeds of both with its 95% t interval; None without such a seed."""
    return paired_difference(arm.by_seed(read), baseline.by_seed(read))


def gain(arm: Arm, baseline: Arm, read: Read = value_of) -> Interval | None:
    """Relative reduction, 1 - arm / baseline, over the seeds of both with its 95% t interval; None without such a seed.

    Raises:
        ValueError: a baseline that is not positive.
    """
    return relative_gain(arm.by_seed(read), baseline.by_seed(read))


def measured_difference(one: Result, other: Result) -> Interval:
    """One result minus another with Welch's 95% interval from their standard errors over evaluation keys.

    It says how precisely the two nets are measured, not what another seed of training would give.
    """
    a, b = one.score, other.score
    return difference_of_means(a.value, a.stderr, b.value, b.stderr, min(a.num_keys, b.num_keys))


class Reading(StrEnum):
    """What the interval of a difference says about an arm against its baseline."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference found"
    NO_INTERVAL = "no interval"


def reading(change: Interval, *, higher_is_better: bool = False) -> Reading:
    """Better or worse where the interval of the difference lies on one side of 0.

    >>> reading(Interval(-1.0, -1.5, -0.5, 3)).value, reading(Interval(0.1, -0.2, 0.4, 3)).value
    ('better', 'no difference found')
    """
    if not (math.isfinite(change.low) and math.isfinite(change.high)):
        return Reading.NO_INTERVAL
    if change.low <= 0 <= change.high:
        return Reading.NO_DIFFERENCE
    return Reading.BETTER if (change.low > 0) == higher_is_better else Reading.WORSE


class Contrast(NamedTuple):
    """Some results minus some of the baseline.

    Args:
        results: of one arm.
        baseline: of the baseline's arm.
        interval: mean difference and its 95% interval.
        seeds: those that are paired; empty where one result is compared with one other, and the interval is over
            evaluation keys.
    """

    results: tuple[Result, ...]
    baseline: tuple[Result, ...]
    interval: Interval
    seeds: tuple[int, ...] = ()


def contrasts(arms: Sequence[Arm], pinned: Result) -> list[Contrast]:
    """Every arm minus that of ``pinned``: paired by seed, or each of its results minus ``pinned``.

    Other seeds of the pinned run's own arm, and runs that were changed while they trained, are compared with it one by
    one.

    Raises:
        ValueError: ``pinned`` has no score or is in no arm.
    """
    base = next((arm for arm in arms if any(each is pinned for each in arm.results)), None)
    if base is None or not pinned.is_scored:
        raise ValueError(f"the baseline {pinned.name!r} is no scored result of the arms")
    found = []
    for arm in arms:
        seeds = shared_seeds(arm, base)
        if arm is not base and len(seeds) > 1 and (paired := difference(arm, base)) is not None:
            sides = [tuple(each for each in side.counted if each.seed in seeds) for side in (arm, base)]
            found.append(Contrast(sides[0], sides[1], paired, seeds))
        else:
            found += [
                Contrast((each,), (pinned,), measured_difference(each, pinned))
                for each in arm.results
                if each is not pinned and each.is_scored
            ]
    return found


def arm_label(config: RunConfig) -> str:
    """What the app calls a setting among others on the same data: its beta or coefficient rule, or its method.

    >>> arm_label(RunConfig(beta=0.5)), arm_label(RunConfig(method="flow_matching"))
    ('β = 0.5', 'flow_matching')
    """
    if config.method != "meanflow":
        return config.method
    return f"β = {config.beta:g}" if config.coefficient == "constant" else f"β {config.coefficient}"


def run_label(config: RunConfig) -> str:
    """A run in one line: the settings that tell most runs apart.

    >>> run_label(RunConfig(dataset="two_moons", beta=0.5, seed=3))
    'two_moons β = 0.5, ema, seed 3'
    """
    parts = [f"{config.dataset} {arm_label(config)}"]
    if config.method == "meanflow":
        parts.append(config.proxy)
        parts += [f"target {config.target}"] if config.target != "conditional" else []
    return ", ".join([*parts, f"seed {config.seed}"]).replace("batch_posterior", "batch posterior")


def _hashable(value: Any) -> Hashable:
    """A setting as part of a key; options are dictionaries and lists."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, _hashable(item)) for name, item in value.items()))
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
