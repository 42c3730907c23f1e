"""Intervals against SciPy's closed forms, their coverage, and the reason to pair."""

import math

import numpy as np
import pytest
import scipy.stats

from toylab.metrics.statistics import mean_interval, paired_difference, relative_gain


def test_mean_interval_is_students():
    values = [0.3, 0.1, 0.7, 0.45]
    interval = mean_interval(values, level=0.9)
    low, high = scipy.stats.t.interval(0.9, 3, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert interval == pytest.approx((np.mean(values), low, high, 4), rel=1e-12)


def test_mean_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    num_trials, level = 2000, 0.8
    hits = 0
    for values in rng.normal(3.0, 2.0, size=(num_trials, 5)):
        interval = mean_interval(values, level)
        hits += interval.low <= 3.0 <= interval.high
    stderr = math.sqrt(level * (1 - level) / num_trials)
    assert abs(hits / num_trials - level) < 4 * stderr


def test_a_single_value_has_no_interval():
    interval = mean_interval([2.5])
    assert interval.mean == 2.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_pairing_removes_what_seeds_share():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 10, size=8)
    baseline = {seed: shared[seed] for seed in range(8)}
    values = {seed: shared[seed] + 0.5 + 0.01 * rng.normal() for seed in range(1, 8)} | {99: 1e6}
    difference = paired_difference(values, baseline)
    assert difference is not None
    assert difference.n == 7
    assert abs(difference.mean - 0.5) < 0.05
    assert 0 < difference.high - difference.low < 0.1


def test_no_common_seed_is_no_difference():
    assert paired_difference({0: 1.0}, {1: 2.0}) is None
    assert relative_gain({0: 1.0}, {1: 2.0}) is None


def test_a_gain_is_the_share_that_is_gone_with_its_interval():
    values, baseline = {0: 0.3, 1: 0.4, 2: 0.9, 7: 5.0}, {0: 1.0, 1: 0.5, 2: 1.0}
    gone = [0.7, 0.2, 0.1]
    low, high = scipy.stats.t.interval(0.9, 2, loc=np.mean(gone), scale=scipy.stats.sem(gone))
    assert relative_gain(values, baseline, 0.9) == pytest.approx((np.mean(gone), low, high, 3), rel=1e-12)


def test_in_logs_halving_and_doubling_cancel():
    gain = relative_gain({0: 0.5, 1: 2.0}, {0: 1.0, 1: 1.0}, of_logs=True)
    half = scipy.stats.t.ppf(0.975, 1) * math.log(2)  # standard error of (-log 2, log 2) is log 2
    assert gain == pytest.approx((0.0, 1 - math.exp(half), 1 - math.exp(-half), 2))


def test_a_gain_needs_a_positive_baseline():
    with pytest.raises(ValueError, match="positive baseline, got 0"):
        relative_gain({0: 1.0, 1: 1.0}, {0: 1.0, 1: 0.0})


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [([], 0.95, "at least one"), ([1.0, math.nan], 0.95, "finite"), ([1.0, 2.0], 1.0, "level")],
)
def test_bad_values_are_refused(values, level, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, level)
