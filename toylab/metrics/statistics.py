"""Means over seeds with Student's t intervals, paired by seed or from standard errors, and bootstrap intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Interval(NamedTuple):
    """A mean and the confidence interval around it.

    Args:
        mean: of the values.
        low: lower end; NaN for a single value, which says nothing about the variance.
        high: upper end; likewise.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    n: int


# Where there is no value.
NO_INTERVAL = Interval(math.nan, math.nan, math.nan, 0)


def t_quantile(freedom: float, level: float = 0.95) -> float:
    """Half width of Student's t interval in standard errors.

    The intervals here are made of it, not of the `confidence_interval` of SciPy's t tests: those warn where values are
    (nearly) equal, as the differences of a run from itself are, and take no standard errors.

    >>> round(t_quantile(4), 3)
    2.776
    """
    return float(stats.t.ppf((1 + level) / 2, freedom))


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Mean of independent values with Student's t interval, mean -+ t_{n-1} s / sqrt(n).

    It is `scipy.stats.ttest_1samp(values, 0).confidence_interval(level)` up to the last bit, and of differences
    `ttest_rel`'s.

    Args:
        values: one per seed, finite.
        level: of confidence, in (0, 1).

    Raises:
        ValueError: no value, one that is not finite, or a level out of range.

    >>> mean_interval([1.0, 2.0, 3.0]).mean
    2.0
    """
    array = _finite(values, level)
    mean, n = float(np.mean(array)), len(array)
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = t_quantile(n - 1, level) * float(np.std(array, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def t_interval(mean: float, stderr: float, n: int, level: float = 0.95) -> Interval:
    """Student's t interval of a mean of ``n`` values with known standard error: mean -+ t_{n-1} stderr.

    Its ends are NaN for a single value.

    >>> t_interval(2.0, 0.0, 3)
    Interval(mean=2.0, low=2.0, high=2.0, n=3)
    """
    half = t_quantile(n - 1, level) * stderr if n > 1 else math.nan
    return Interval(mean, mean - half, mean + half, n)


def late_mean(values: ArrayLike) -> float:
    """Mean of the finite values in the second half of a history, without the transient; NaN if there is none.

    >>> late_mean([9.0, 9.0, 1.0, 3.0])
    2.0
    """
    array = np.asarray(values, np.float64)
    late = array[len(array) // 2 :]
    late = late[np.isfinite(late)]
    return float(np.mean(late)) if len(late) else math.nan


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95
) -> Interval | None:
    """Mean of values minus baseline over the seeds of both, with its t interval; None without such a seed.

    Runs that share a seed share their noise: the difference varies less than either side.

    Args:
        values: seed -> value, finite.
        baseline: seed -> value, finite.
        level: of confidence, in (0, 1).

    Raises:
        ValueError: a value that is not finite, or a level out of range.
    """
    pairs = paired(values, baseline)
    return mean_interval([value - base for value, base in pairs], level) if pairs else None


def relative_gain(
    values: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95, *, of_logs: bool = False
) -> Interval | None:
    """Mean relative reduction, 1 - value / baseline, over the seeds of both; None without such a seed.

    Args:
        values: seed -> value, finite.
        baseline: seed -> value, finite and positive.
        level: of confidence, in (0, 1).
        of_logs: the mean of log(value / baseline) turned back, 1 - exp(mean), under which halving and doubling cancel;
            values must then be positive.

    Raises:
        ValueError: a value that is not finite, a baseline that is not positive, or a level out of range.

    >>> relative_gain({0: 0.5, 1: 0.25}, {0: 1.0, 1: 1.0}).mean
    0.625
    """
    pairs = paired(values, baseline)
    if not pairs:
        return None
    if (worst := min(base for _, base in pairs)) <= 0:
        raise ValueError(f"a relative gain needs a positive baseline, got {worst}")
    if not of_logs:
        return mean_interval([1 - value / base for value, base in pairs], level)
    ratio = mean_interval(np.log([value / base for value, base in pairs]), level)
    mean, low, high = (1 - math.exp(end) for end in (ratio.mean, ratio.high, ratio.low))
    return Interval(mean, low, high, ratio.n)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> list[tuple[float, float]]:
    """Value and baseline of every seed of both, in the order of seeds."""
    return [(values[seed], baseline[seed]) for seed in sorted(set(values) & set(baseline))]


def difference_of_means(
    value: float, stderr: float, baseline: float, baseline_stderr: float, n: int, level: float = 0.95
) -> Interval:
    """Difference of two independent means of ``n`` values each with Welch's t interval.

    SciPy has Welch's test from standard errors (`ttest_ind_from_stats`), but not its interval.

    Args:
        value: a mean.
        stderr: its standard error, NaN for n = 1.
        baseline: the other mean.
        baseline_stderr: its standard error.
        n: values behind each mean.
        level: of confidence, in (0, 1).

    Raises:
        ValueError: a mean that is not finite, or a level out of range.

    >>> difference_of_means(1.0, 0.0, 3.0, 0.0, 4)
    Interval(mean=-2.0, low=-2.0, high=-2.0, n=4)
    """
    _finite([value, baseline], level)
    variances = np.square([stderr, baseline_stderr])
    total = float(variances.sum())
    mean = value - baseline
    if n < 2 or not math.isfinite(total):
        return Interval(mean, math.nan, math.nan, n)
    # The Welch-Satterthwaite degrees of freedom for equal n; two variances of 0 have none, and need none.
    freedom = total**2 / float((variances**2).sum()) * (n - 1) if total > 0 else n - 1
    half = t_quantile(freedom, level) * math.sqrt(total)
    return Interval(mean, mean - half, mean + half, n)


def bootstrap_interval(values: Sequence[float], level: float = 0.95, num_resamples: int = 10_000) -> Interval:
    """Mean with the percentile interval of its bootstrap distribution (seed 0); too narrow for few values.

    >>> bootstrap_interval([1.0, 2.0, 4.0, 5.5])
    Interval(mean=3.125, low=1.5, high=4.75, n=4)
    """
    array = _finite(values, level)
    mean, n = float(np.mean(array)), len(array)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    found = stats.bootstrap(
        (array,), np.mean, n_resamples=num_resamples, confidence_level=level, method="percentile", rng=0
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), n)


def _finite(values: Sequence[float] | np.ndarray, level: float) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"an interval needs at least one value, got shape {array.shape}")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"an interval needs finite values, got {array[~np.isfinite(array)][0]}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    return array
