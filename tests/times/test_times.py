"""The law of every time sampler, against closed forms by Kolmogorov and Smirnov."""

import jax
import numpy as np
import pytest
import scipy.stats
from scipy.special import logit

from toylab.times import time_samplers

NUM = 20_000
SINGLE_LAWS = {
    ("uniform", ()): lambda x: np.clip((x - 1e-4) / (1 - 2e-4), 0, 1),
    ("uniform", (("low", 0.2), ("high", 0.7))): lambda x: np.clip((x - 0.2) / 0.5, 0, 1),
    ("logit_normal", ()): lambda x: scipy.stats.norm.cdf(logit(x), -0.4, 1.0),
    ("logit_normal", (("mean", 0.5), ("std", 0.6))): lambda x: scipy.stats.norm.cdf(logit(x), 0.5, 0.6),
}
"""Distribution functions of one time; pairs are two of them, sorted."""


def close(values, law) -> bool:
    return scipy.stats.kstest(np.asarray(values, np.float64), law).pvalue > 1e-3


@pytest.mark.parametrize("name", time_samplers.names())
def test_pairs_are_ordered_and_times_lie_in_the_unit_interval(name):
    sampler = time_samplers.create(name)
    r, t = sampler.draw(jax.random.key(1), NUM)
    single = sampler.draw_single(jax.random.key(2), NUM)
    assert r.shape == t.shape == single.shape == (NUM,)
    assert np.all((r >= 0) & (r <= t) & (t <= 1) & (single > 0) & (single <= 1))


@pytest.mark.parametrize(("name", "options"), SINGLE_LAWS, ids=str)
def test_a_single_time_has_the_law_of_one_draw_and_pairs_are_two_sorted(name, options):
    sampler, law = time_samplers.create(name, dict(options)), SINGLE_LAWS[name, options]
    single = sampler.draw_single(jax.random.key(3), NUM)
    assert close(single, law)
    r, t = sampler.draw(jax.random.key(4), NUM)
    assert close(t, lambda x: law(x) ** 2)
    assert close(r, lambda x: 1 - (1 - law(x)) ** 2)
    assert not close(t, law)  # the check can fail


@pytest.mark.parametrize("name", sorted(set(time_samplers.names()) - {name for name, _ in SINGLE_LAWS}))
def test_other_samplers_take_the_later_time_of_a_pair_or_say_so(name):
    sampler = time_samplers.create(name)
    single, pair = sampler.draw_single(jax.random.key(3), NUM), sampler.draw(jax.random.key(4), NUM)
    laws = [scipy.stats.ks_2samp(np.asarray(single), np.asarray(times)).pvalue for times in pair]
    assert max(laws) > 1e-3
