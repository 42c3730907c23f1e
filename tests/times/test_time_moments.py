"""Distributions of the two times: order, range, and moments against quadrature."""

import jax
import numpy as np
import pytest
from scipy import integrate, stats

from toylab.times import time_samplers

N = 200_000


def draw(name, options=None):
    r, t = time_samplers.create(name, options).draw(jax.random.key(7), N)
    r, t = np.asarray(r, np.float64), np.asarray(t, np.float64)
    assert np.all(r >= 0)
    assert np.all(r <= t)
    assert np.all(t <= 1)
    return r, t


def assert_mean(values, expected, wrong=None):
    """Within four standard errors of the expectation, and far from a wrong one."""
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - expected) < 4 * error + 1e-6
    if wrong is not None:
        assert abs(values.mean() - wrong) > 20 * error


def logit_normal_cdf(x, mean, std):
    return stats.norm.cdf((np.log(x) - np.log1p(-x) - mean) / std)


def expectation(cdf, low=0.0, high=1.0):
    """E[x] of a distribution on [0, 1] = integral of 1 - F."""
    return integrate.quad(lambda x: 1 - cdf(x), low, high, limit=200)[0]


@pytest.mark.parametrize("name", time_samplers.names())
def test_times_are_ordered_and_fill_the_interval(name):
    r, t = draw(name)
    assert t.max() > 0.95
    assert (t - r).max() > 0.8


def test_u_shaped_moments():
    r, t = draw("u_shaped", {"max_t": 1.0})
    density = lambda x: 2 * (np.exp(4 * x) + np.exp(4 - 4 * x)) / (np.exp(4) - 1)  # noqa: E731
    assert integrate.quad(density, 0, 1)[0] == pytest.approx(1)
    for power in (1, 2, 4):
        expected = integrate.quad(lambda x, k=power: x**k * density(x), 0, 1)[0]
        assert_mean(t**power, expected, wrong=1 / (power + 1) if power > 1 else None)
    # The one step of the sampler has a share of its own: t > 0.8 and a gap above t - 0.4.
    gap = lambda x: logit_normal_cdf(x, -0.8, 1.0)  # noqa: E731
    long = integrate.quad(lambda x: density(x) * (1 - gap(x - 0.4)), 0.8, 1)[0]
    assert_mean(((t > 0.8) & (r == 0)).astype(float), long)
    assert not np.any((t > 0.8) & (r > 0) & (r < 0.4))
    assert draw("u_shaped")[1].max() == pytest.approx(80 / 81, abs=1e-6)


def test_gap_logit_normal_moments():
    r, t = draw("gap_logit_normal")
    assert_mean(t - r, expectation(lambda x: logit_normal_cdf(x, -0.8, 1.0)), wrong=0.4)
    # Given the gap, r is the logit-normal cut off at 1 - g: its distribution function there is uniform.
    rank = logit_normal_cdf(r, -0.4, 1.0) / logit_normal_cdf(1 - (t - r), -0.4, 1.0)
    assert_mean(rank, 1 / 2)
    assert_mean(rank**2, 1 / 3)
    assert abs(np.corrcoef(rank, t - r)[0, 1]) < 5 / N**0.5
    assert_mean(
        logit_normal_cdf(r, -0.4, 1.0), 0.5 * np.mean(logit_normal_cdf(1 - (t - r), -0.4, 1.0)), wrong=0.5
    )


@pytest.mark.parametrize("numbers", [(0.4, 1.0, -1.2, 1.0), (-0.6, 1.6, -4.0, 1.6), (0.2, 0.8, -1.0, 0.8)])
def test_two_logit_normals_moments(numbers):
    mean_t, std_t, mean_r, std_r = numbers
    options = {"mean_t": mean_t, "std_t": std_t, "mean_r": mean_r, "std_r": std_r}
    first = lambda x: logit_normal_cdf(x, mean_t, std_t)  # noqa: E731
    second = lambda x: logit_normal_cdf(x, mean_r, std_r)  # noqa: E731
    low, high = 1e-4, 1 - 1e-4

    def mean(cdf):
        return low + expectation(cdf, low, high)

    smaller = mean(lambda x: 1 - (1 - first(x)) * (1 - second(x)))
    r, t = draw("two_logit_normals", options)
    assert_mean(t, mean(lambda x: first(x) * second(x)))
    assert_mean(r, smaller, wrong=mean(first))
    assert np.all(t > r)
    r, t = draw("two_logit_normals", {**options, "order": "clip"})
    assert_mean(t, mean(first))
    assert_mean(r, smaller)
    crossed = stats.norm.cdf((mean_r - mean_t) / np.hypot(std_t, std_r))
    assert_mean((r == t).astype(float), crossed)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("u_shaped", {"rate": 0}, "rate > 0"),
        ("u_shaped", {"max_t": 1.5}, "max_t"),
        ("gap_logit_normal", {"std_gap": 0}, "std > 0"),
        ("two_logit_normals", {"std_r": -1}, "std > 0"),
        ("two_logit_normals", {"order": "random"}, "unknown order 'random'; choices: clip, sort"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        time_samplers.create(name, options)
