"""Results, arms and their intervals, against SciPy's tests of the same hypotheses."""

import math

import numpy as np
import pytest
import scipy.stats

from toylab.config import RunConfig
from toylab.experiments.results import (
    NO_SCORE,
    Reading,
    Result,
    contrasts,
    difference,
    gain,
    group,
    measured_difference,
    reading,
    shared_seeds,
)
from toylab.metrics.score import Score
from toylab.metrics.statistics import Interval, bootstrap_interval, mean_interval, paired_difference

BASE = RunConfig(dataset="two_gaussians", steps=40)


def result(value, seed=0, beta=0.0, status="done", name="", stderr=math.nan, keys=1, **settings):
    score = Score(value, stderr, 1000, 0.01, keys) if value is not None else NO_SCORE
    return Result(BASE.replace(beta=beta, seed=seed, **settings), status, score, name=name)


def arms_of(*values, **settings):
    """Two arms with these values by seed."""
    rows = [
        result(value, seed, float(beta), **settings)
        for beta, column in enumerate(values)
        for seed, value in column.items()
    ]
    return group(rows)


@pytest.mark.parametrize("num", [2, 3, 8])
def test_intervals_are_those_of_scipys_t_tests(num):
    rng = np.random.default_rng(num)
    values, baseline = rng.normal(3, 2, num), rng.normal(2, 1, num)
    expected = scipy.stats.ttest_rel(values, baseline).confidence_interval()
    found = paired_difference(dict(enumerate(values)), dict(enumerate(baseline)))
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-14)
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.8)
    assert mean_interval(values, 0.8)[1:3] == pytest.approx(tuple(expected), rel=1e-14)
    assert mean_interval([0.1] * num)[:3] == pytest.approx((0.1, 0.1, 0.1))  # without a warning


def test_a_bootstrap_interval_has_the_quantiles_of_resampled_means():
    values = np.random.default_rng(0).normal(size=6)
    means = values[np.random.default_rng(0).integers(0, 6, (10_000, 6))].mean(axis=1)
    assert bootstrap_interval(list(values))[1:3] == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert math.isnan(bootstrap_interval([1.0]).low)


def test_equal_settings_but_for_the_seed_are_one_arm():
    rows = [
        result(0.1, 0), result(0.2, 1), result(0.3, 0, 1.0), result(0.4, 2, eval_samples=0),
        result(0.5, 3, status="changed", name="a"), result(0.6, 4, status="changed", name="b"),
        result(0.7, 0, dataset_options={"separation": 3.0}), result(0.8, 1, dataset_options={"separation": 3}),
    ]  # fmt: skip
    assert [[each.value for each in arm.results] for arm in group(rows)] == [
        [0.1, 0.2, 0.4],
        [0.3],
        [0.5],
        [0.6],
        [0.7, 0.8],
    ]


def test_only_whole_runs_are_in_means_and_repeats_of_a_seed_are_one_value():
    rows = [result(1.0, 0), result(3.0, 0), result(5.0, 1), result(math.nan, 2), result(9.0, 3, status="changed"),
            result(None, 4, status="diverged"), result(None, 5, status="unfinished"), result(None, 6)]  # fmt: skip
    (arm,) = group(rows, lambda each: each.config.beta)
    assert arm.by_seed() == {0: 2.0, 1: 5.0}
    assert arm.interval() == mean_interval([2.0, 5.0])
    assert arm.num("diverged", "unfinished") == 2
    assert arm.floor() == pytest.approx(0.01)
    (empty,) = group([result(None)])
    assert empty.interval().n == 0
    assert math.isnan(empty.floor())


def test_arms_are_compared_over_the_seeds_of_both():
    baseline, arm = arms_of({0: 1.0, 1: 2.0, 2: 4.0, 9: 5.0}, {0: 0.5, 1: 1.5, 2: 1.0, 7: 8.0})
    assert shared_seeds(arm, baseline) == (0, 1, 2)
    expected = scipy.stats.ttest_rel([0.5, 1.5, 1.0], [1.0, 2.0, 4.0]).confidence_interval()
    found = difference(arm, baseline)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert gain(arm, baseline) == pytest.approx(mean_interval([0.5, 0.25, 0.75]))
    assert difference(arm, group([result(1.0, 5)])[0]) is None


def test_without_two_common_seeds_the_standard_errors_give_welchs_interval():
    one, other = result(1.0, 0, 1.0, stderr=0.2, keys=4), result(1.5, 1, stderr=0.1, keys=5)
    found = measured_difference(one, other)
    spread = [0.2 * math.sqrt(4), 0.1 * math.sqrt(4)]
    # At the ends of its interval the test of Welch has p = 5%.
    for end in (found.low, found.high):
        p = scipy.stats.ttest_ind_from_stats(
            1.0 - end, spread[0], 4, 1.5, spread[1], 4, equal_var=False
        ).pvalue
        assert p == pytest.approx(0.05)
    assert contrasts(group([one, other]), other) == [((one,), (other,), found, ())]


def test_chosen_runs_are_compared_with_the_pinned_ones_arm():
    rows = [result(1.0, 0), result(1.2, 1), result(0.5, 0, 1.0), result(0.8, 1, 1.0), result(0.7, 1, 0.5)]
    rows.append(result(0.9, 2, status="changed", name="steered"))
    found = contrasts(group(rows), rows[0])
    assert [
        ([each.value for each in c.results], [each.value for each in c.baseline], c.seeds) for c in found
    ] == [
        ([1.2], [1.0], ()),
        ([0.5, 0.8], [1.0, 1.2], (0, 1)),
        ([0.7], [1.0], ()),
        ([0.9], [1.0], ()),
    ]
    assert found[1].interval == mean_interval([0.5 - 1.0, 0.8 - 1.2])
    with pytest.raises(ValueError, match="no scored result"):
        contrasts(group(rows), result(1.0))


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-2.0, -1.0), Reading.BETTER),
        ((1.0, 2.0), Reading.WORSE),
        ((-1.0, 0.0), Reading.NO_DIFFERENCE),
        ((0.0, 0.0), Reading.NO_DIFFERENCE),
        ((math.nan, math.nan), Reading.NO_INTERVAL),
    ],
)
def test_a_reading_says_on_which_side_of_zero_an_interval_lies(ends, expected):
    assert reading(Interval(0.0, *ends, 3)) is expected
    turned = {Reading.BETTER: Reading.WORSE, Reading.WORSE: Reading.BETTER}
    assert reading(Interval(0.0, *ends, 3), higher_is_better=True) is turned.get(expected, expected)
