"""Centres that are redrawn for every batch: the law of a row is exact, and rows of a batch share their centres."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

from toylab.data import dataset
from toylab.data.mixtures import isotropic_mixture
from toylab.data.redrawn import bessel_ratio


@pytest.mark.parametrize("dim", [1, 2, 3, 64])
def test_bessel_ratio_against_scipy(dim, x64):
    k = np.array([1e-3, 0.1, 1.0, 7.0, 30.0, 400.0, 1e5])
    exact = ive(dim / 2, k) / ive(dim / 2 - 1, k) / k
    found = jax.jit(jax.vmap(lambda squared: bessel_ratio(dim, squared)))(jnp.asarray(k**2))
    np.testing.assert_allclose(found[:5], exact[:5], rtol=1e-13)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("t", [1e-3, 0.2, 0.7, 1.0])
def test_it_is_the_mixture_of_all_centres_on_the_circle(t, x64):
    angles = 2 * np.pi * np.arange(600) / 600  # a periodic integrand: the trapezium rule is exact to rounding
    every = isotropic_mixture(1.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.5, distinct=False)
    law, t = dataset("dgmm", redrawn=True), jnp.asarray(t)
    points = jnp.asarray([[0.0, 0.0], [0.3, -0.2], [1.5, 0.0], [-2.0, 2.5]])
    found, exact = (jax.jit(jax.vmap(of.velocity_moments, (0, None)))(points, t) for of in (law, every))
    for value, expected in zip(found, exact, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 5])
def test_covariance_is_the_slope_of_the_velocity(dim, x64):
    """Sigma = (I - t d_x v) / (1 - t), which holds for every distribution of data (Tweedie's second formula)."""
    law, t = dataset("dgmm", dim=dim, redrawn=True), jnp.asarray(0.4)
    x = jnp.asarray(np.random.default_rng(0).normal(size=dim))
    slope = jax.jit(jax.jacfwd(lambda x: law.velocity(x, t)))(x)
    sigma = law.velocity_moments(x, t)[1]
    np.testing.assert_allclose(sigma, (np.eye(dim) - t * slope) / (1 - t), rtol=1e-9, atol=1e-9)
    assert np.linalg.norm(sigma - np.eye(dim) * sigma[0, 0]) > 0.1 or dim == 1


def test_independent_points_have_the_declared_moments():
    law = dataset("dgmm", dim=3, redrawn=True)
    points, moments = law.sample(100_000, seed=1).astype(float), law.moments()
    products = points[:, :, None] * points[:, None, :]
    error = products.mean(0) - moments.covariance
    assert np.abs(points.mean(0) / (points.std(0) / 316.2)).max() < 5
    assert np.abs(error / (products.std(0) / 316.2)).max() < 5
    wider = dataset("dgmm", dim=3, redrawn=True, radius=1.6).moments()
    assert wider.covariance[0, 0] > moments.covariance[0, 0] * 1.05


def test_rows_of_a_batch_share_centres_and_no_two_batches_do():
    law = dataset("dgmm", dim=3, num_components=5, std=1e-3, redrawn=True)
    draw = jax.jit(jax.vmap(lambda key: law.draw_labelled(key, 200)[0]))
    batches = draw(jax.random.split(jax.random.key(0), 100))
    first, second = (np.asarray(batch) for batch in batches[:2])
    nearest = np.linalg.norm(first[:, None] - second[None], axis=-1).min()
    apart = np.linalg.norm(first[:, None] - first[None], axis=-1)
    assert np.mean(apart < 0.02) > 0.1  # a fifth of all pairs
    assert nearest > 0.02
    means = np.asarray(batches).mean(1)  # one for each batch: rows are not independent, batches are
    assert np.abs(means.mean(0) / (means.std(0) / 10)).max() < 5
    squares = (np.asarray(batches) ** 2).mean((1, 2))
    np.testing.assert_allclose(squares.mean(), law.moments().covariance[0, 0], rtol=2e-3)
    assert law.draw_labelled(jax.random.key(0), 3)[1] is None


def test_redrawn_centres_have_no_seed():
    with pytest.raises(ValueError, match="seed must be 0 where centres are redrawn, got 3"):
        dataset("dgmm", redrawn=True, seed=3)
