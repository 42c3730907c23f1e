"""The variance of the batch gradient and its interval."""

import jax
import numpy as np
import pytest
from tiny import TINY

import toylab as tl
from toylab.training.experiment import build_experiment
from toylab.training.objective import replica_gradients
from toylab.training.state import lane_keys


@pytest.mark.slow
def test_gradient_variance_equals_its_definition():
    experiment = build_experiment(TINY)
    run = tl.train(TINY, progress=False)
    table = tl.diagnostics.gradient_variance(run, betas=[0, 0.5], num_batches=24)
    keys = jax.random.split(jax.random.fold_in(lane_keys(experiment)[2], 0), 24)
    gradients = replica_gradients(experiment, jax.tree.map(jax.numpy.asarray, run.state), keys)
    trace = np.cov(np.asarray(gradients, np.float64).T).trace()
    assert table["trace"][1] == pytest.approx(trace, rel=1e-3)
    assert np.all((table["low"] < table["trace"]) & (table["trace"] < table["high"]))


def test_bootstrap_interval_covers():
    """95% intervals of Gaussian gradients hold the true trace about 95% of the time (K = 64, 200 repeats)."""
    from toylab.diagnostics.gradient_variance import _summary

    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 1.0, 10)
    covered = 0
    for _ in range(200):
        gradients = rng.normal(size=(64, 10)) * scales
        summary = _summary(gradients)
        covered += summary["low"] <= np.sum(scales**2) <= summary["high"]
    assert 175 <= covered <= 200
