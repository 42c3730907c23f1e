"""Every dataset: sampler against declared moments, oracle against brute force. New ones join by name."""

import functools
import json

import dataset_reference as ref
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.data import dataset, datasets
from toylab.data.checkerboard import interval_moments
from toylab.data.mixtures import isotropic_mixture, noisy_curve
from toylab.data.points import bandwidth
from toylab.options import number, whole

NAMES = datasets.names()


def velocity_moments(ds, x, t):
    return _velocity_moments(ds, x, jnp.asarray(t, x.dtype))


@eqx.filter_jit
def _velocity_moments(ds, x, t):
    return jax.vmap(ds.velocity_moments, in_axes=(0, None))(x, t)


@functools.cache
def samples_of(name):
    return ref.build(name).sample(100_000, seed=1).astype(np.float64)


def moment_z_scores(samples, moments):
    """Distance of the empirical mean and covariance from declared ones, in standard errors."""
    n = len(samples)
    deviations = samples - moments.mean
    mean_z = deviations.mean(0) / (deviations.std(0) / np.sqrt(n))
    products = deviations[:, :, None] * deviations[:, None, :]
    z = (products.mean(0) - moments.covariance) / (products.std(0) / np.sqrt(n))
    return max(np.abs(mean_z).max(), np.abs(z).max())


def importance_z_scores(samples, x, t, v, sigma):
    """Distance of v and Sigma from importance sampling over ``samples``, in standard errors."""
    log_weights = -0.5 * ((x - (1 - t) * samples) ** 2).sum(-1) / t**2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    deviations = (x - samples) / t - v
    products = deviations[:, :, None] * deviations[:, None, :] - sigma
    worst = 0.0
    for error in (deviations, products.reshape(-1, 4)):
        se = np.sqrt(weights**2 @ error**2)
        worst = max(worst, np.max(np.abs(weights @ error) / se))
    return worst


def sliced_distance(a, b):
    directions = np.random.default_rng(5).standard_normal((2, 40))
    directions /= np.linalg.norm(directions, axis=0)
    return np.abs(np.sort(a @ directions, 0) - np.sort(b @ directions, 0)).mean()


def exact_error(name, ds, t, num_points=12):
    """Largest error of v and of Sigma on points of p_t, relative to 1 + |value|."""
    x = ref.noised(name, num_points, t)
    v, sigma = velocity_moments(ds, jnp.asarray(x), t)
    worst = 0.0
    for x_i, v_i, sigma_i in zip(x, np.asarray(v), np.asarray(sigma), strict=True):
        for got, exact in zip((v_i, sigma_i), ref.exact_moments(name, x_i, t), strict=True):
            worst = max(worst, np.max(np.abs(got - exact) / (1 + np.abs(exact))))
    return worst


@pytest.mark.parametrize("name", NAMES)
def test_sampler_has_the_declared_moments(name):
    ds = ref.build(name)
    samples = samples_of(name)
    assert samples.shape == (100_000, ds.dim)
    assert moment_z_scores(samples, ds.moments()) < 5


def test_moment_check_can_fail():
    ds = ref.build("eight_gaussians")
    std_taken_as_variance = dataset("eight_gaussians", std=0.25**0.5)
    assert moment_z_scores(std_taken_as_variance.sample(100_000).astype(float), ds.moments()) > 5


@pytest.mark.parametrize("name", NAMES)
def test_sampler_follows_the_paper(name):
    n = 20_000
    samples = samples_of(name)[:n]
    fresh = [ref.reference_sample(name, n, seed) for seed in (11, 12, 13)]
    floor = max(sliced_distance(fresh[i], fresh[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert min(sliced_distance(samples, other) for other in fresh) < 1.5 * floor


@pytest.mark.parametrize("name", NAMES)
def test_velocity_and_covariance_against_monte_carlo(name, x64):
    ds, samples = ref.build(name), ref.reference_sample(name, 300_000, seed=2)
    for t in (0.35, 0.7):
        x = ref.noised(name, 4, t, seed=4)
        v, sigma = map(np.asarray, velocity_moments(ds, jnp.asarray(x), t))
        z = [importance_z_scores(samples, *row) for row in zip(x, [t] * 4, v, sigma, strict=True)]
        assert max(z) < 5


def test_monte_carlo_check_can_fail(x64):
    t, samples = 0.5, ref.reference_sample("eight_gaussians", 300_000, seed=2)
    x = np.array([[0.4, 0.3]])
    v, sigma = map(np.asarray, velocity_moments(ref.build("eight_gaussians"), jnp.asarray(x), t))
    assert importance_z_scores(samples, x[0], t, v[0], sigma[0]) < 5
    assert importance_z_scores(samples, x[0], t, -v[0], sigma[0]) > 5
    within_only = np.eye(2) * 0.25**2 / (0.25 * 0.25**2 + 0.25)
    assert importance_z_scores(samples, x[0], t, v[0], within_only) > 5
    wrong = dataset("eight_gaussians", std=0.25**0.5)
    v, sigma = map(np.asarray, velocity_moments(wrong, jnp.asarray(x), t))
    assert importance_z_scores(samples, x[0], t, v[0], sigma[0]) > 5


@pytest.mark.parametrize("name", NAMES)
def test_velocity_and_covariance_against_dense_quadrature(name, x64):
    ds = ref.build(name)
    if ref.exact_moments(name, np.zeros(2), 0.5) is None:
        pytest.skip("no reference posterior for this dataset; Monte Carlo covers it")
    for t in (1e-3, 0.03, 0.3, 0.9):
        assert exact_error(name, ds, t) < 3e-6


def test_quadrature_check_can_fail(x64):
    assert exact_error("swiss_roll", dataset("swiss_roll", noise=0.09), 0.03) > 1e-2
    assert exact_error("pinwheel", dataset("pinwheel", twist=0.26), 0.03) > 1e-2
    assert exact_error("checkerboard", dataset("checkerboard", side=2.01), 0.03) > 1e-3


@pytest.mark.parametrize("name", ref.CURVES)
def test_doubling_the_nodes_of_a_curve_changes_nothing(name, x64):
    ds = ref.build(name)
    density = {"two_spirals": lambda s: s}.get(name, np.ones_like)
    interval = {"two_moons": (0.0, np.pi), "two_spirals": (0.0, 3 * np.pi)}.get(
        name, (1.5 * np.pi, 4.5 * np.pi)
    )
    finer = noisy_curve(ds.point, ds.quantile, density, interval, float(ds.noise), refine=2)
    assert len(finer.nodes.means) == 2 * len(ds.nodes.means)
    for t in (1e-4, 1e-2, 0.1, 0.9):
        x = jnp.asarray(ref.noised(name, 500, t))
        change = velocity_moments(ds, x, t)[0] - velocity_moments(finer, x, t)[0]
        assert np.max(np.abs(change)) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_finite_and_precise_in_float32(name):
    """At both ends of time, and far outside the data, in the precision of training."""
    ds = ref.build(name)
    far = np.array([[12.0, -9.0], [0.0, 30.0], [-4.0, 4.0], [0.0, 0.0]])
    for t in (1e-4, 1e-2, 0.5, 1.0):
        x = np.concatenate([ref.noised(name, 60, t), far]).astype(np.float32)
        v32, sigma32 = velocity_moments(ds, jnp.asarray(x), np.float32(t))
        assert v32.dtype == sigma32.dtype == jnp.float32
        with jax.enable_x64(True):
            exact = velocity_moments(ds, jnp.asarray(x, jnp.float64), float(np.float32(t)))
            v64, sigma64 = map(np.asarray, exact)
        for exact in (v64, sigma64):
            assert exact.dtype == np.float64
            assert np.all(np.isfinite(exact))
        assert np.all(np.isfinite(v32))
        assert np.all(np.isfinite(sigma32))
        assert np.all(np.linalg.eigvalsh(np.asarray(sigma64)) > -1e-9)
        error = np.abs(v32 - v64)[:60].max(-1) / (1 + np.linalg.norm(v64[:60], axis=-1))
        assert np.median(error) < 1e-5
        assert np.quantile(error, 0.95) < 2e-3


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_transformations(name):
    ds = ref.build(name)
    first = ds.sample(50, seed=4)
    assert first.dtype == np.float32
    assert np.array_equal(first, ds.sample(50, seed=4))
    assert np.array_equal(first, ref.build(name).sample(50, seed=4))
    assert not np.array_equal(first, ds.sample(50, seed=5))
    x, t = jnp.asarray(first[:3]), jnp.float32(0.3)
    slope = jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(ds.velocity(x, t)))))(x)
    assert slope.shape == x.shape
    assert np.all(np.isfinite(slope))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        ds.sample(0)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_is_json(name):
    options = {k: v for k, v in datasets.options(name).items() if k not in ref.OPTIONS.get(name, {})}
    merged = {**options, **ref.OPTIONS.get(name, {})}
    again = datasets.create(name, json.loads(json.dumps(merged)))
    assert eqx.tree_equal(again, ref.build(name))


@pytest.mark.parametrize("t", [1e-4, 1e-2, 0.5, 0.999, 1.0])
def test_interval_moments_against_quadrature(t, x64):
    """One interval of the board, by brute force on the part of it where the weight lives."""
    low, high, a = 0.0, 2.0, 1 - t
    for x in (-0.7, a * 0.0, a * 0.3, a * 2.0 + t, 9.0):
        mode = np.clip(x / a, low, high) if a > 0 else 1.0
        reach = 40 * t / max(a, 1e-9) / (1 + abs(x - a * mode) / t)
        # Midpoint rule, so that ends count rightly.
        edges = np.linspace(max(low, mode - reach), min(high, mode + reach), 400_001)
        y, dy = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
        exponent = -0.5 * ((x - a * y) / t) ** 2
        top = exponent.max()
        weights = np.exp(exponent - top)
        log_mass, total = np.log(weights.sum() * dy) + top, weights.sum()
        mean = weights @ y / total
        exact = (log_mass, (x - mean) / t, weights @ (y - mean) ** 2 / total / t**2)
        got = interval_moments(*map(jnp.asarray, (x, t, low, high)))
        np.testing.assert_allclose(np.asarray(got), exact, rtol=2e-6, atol=1e-8)


def test_twenty_thousand_points():
    cloud = np.random.default_rng(0).normal(size=(20_000, 2))
    ds = dataset("points", array=cloud)
    assert 0.005 < ds.std < 0.1
    v, sigma = velocity_moments(ds, jnp.asarray(cloud[:2], jnp.float32), 0.5)
    # The kernels are nearly N(0, I), where v = (2t - 1) / (a^2 + t^2) x = 0 and Sigma = I / (a^2 + t^2) at t
    # = 1/2.
    assert np.abs(v).max() < 0.15
    assert np.abs(sigma - 2 * np.eye(2)).max() < 0.2
    assert ds.sample(7).shape == (7, 2)


def test_bandwidth_is_the_stated_rule():
    cloud = np.random.default_rng(0).normal(size=(60, 2))
    distances = np.sort(np.linalg.norm(cloud[:, None] - cloud, axis=-1), axis=1)
    assert bandwidth(cloud) == pytest.approx(np.median(distances[:, 8]) / 2)
    assert dataset("points", array=cloud.tolist()).std == pytest.approx(bandwidth(cloud))
    assert dataset("points", array=[[0, 0], [3, 4]]).std == pytest.approx(2.5)
    assert dataset("points", array=[[0, 0], [3, 4]], std=1).std == 1


def test_modes():
    modes = ref.build("eight_gaussians").modes()
    assert modes.centres.shape == (8, 2)
    np.testing.assert_allclose(modes.stds, 0.25)
    np.testing.assert_allclose(modes.weights, 1 / 8)
    np.testing.assert_allclose(dataset("two_gaussians", separation=6).modes().centres, [[-3, 0], [3, 0]])
    for name in ("checkerboard", "dgmm", "pinwheel", "points", *ref.CURVES):
        assert ref.build(name).modes() is None


def test_dgmm_centres_are_fixed_in_every_dimension():
    for dim in (2, 8, 64):
        ds = dataset("dgmm", dim=dim)
        assert ds.dim == dim
        assert np.array_equal(ds.means, dataset("dgmm", dim=dim).means)
    assert not np.array_equal(dataset("dgmm", seed=1).means, dataset("dgmm").means)


def test_rotated_components(x64):
    """Bases: the mixture of rotated Gaussians is the rotated mixture."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    plain = isotropic_mixture(np.array([[0.0, 0.0], [1.0, 2.0]]), 0.3)
    plain = eqx.tree_at(lambda m: m.scales, plain, np.array([[0.2, 0.7], [0.5, 0.1]]))
    turned = eqx.tree_at(
        lambda m: (m.means, m.bases),
        plain,
        (plain.means @ turn.T, np.stack([turn, turn])),
        is_leaf=lambda leaf: leaf is None,
    )
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
    v, sigma = velocity_moments(plain, x, 0.3)
    v_turned, sigma_turned = velocity_moments(turned, x @ turn.T, 0.3)
    np.testing.assert_allclose(v_turned, v @ turn.T, rtol=1e-10)
    np.testing.assert_allclose(sigma_turned, turn @ sigma @ turn.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(turned.moments().covariance, turn @ plain.moments().covariance @ turn.T)
    assert moment_z_scores(turned.sample(100_000).astype(float), turned.moments()) < 5


NAN = float("nan")
BAD = [
    ("nowhere", {}, r"unknown dataset 'nowhere'; choices: checkerboard, .*two_spirals"),
    ("swiss_roll", {"nois": 1}, r"unknown option 'nois' of dataset 'swiss_roll'; choices: noise"),
    ("points", {}, r"needs the option 'array'"),
    ("two_moons", {"noise": -1}, r"noise must be .* got -1"),
    ("two_moons", {"noise": NAN}, r"noise must be .* got nan"),
    ("swiss_roll", {"noise": 0}, r"noise must be .*\[0.01, 10\], got 0"),
    ("eight_gaussians", {"std": 0}, r"std must be .* got 0"),
    ("eight_gaussians", {"radius": NAN}, r"radius must be .* got nan"),
    ("two_gaussians", {"separation": -2}, r"separation must be .* got -2"),
    ("pinwheel", {"num_arms": 21}, r"num_arms must be a whole number in \[1, 20\], got 21"),
    ("pinwheel", {"twist": 1}, r"fold over themselves"),
    ("dgmm", {"dim": 0}, r"dim must be a whole number .* got 0"),
    ("dgmm", {"seed": -1}, r"seed must be a whole number .* got -1"),
    ("points", {"array": [[1, 2, 3], [4, 5, 6]]}, r"shape \(n, 2\) .* got \(2, 3\)"),
    ("points", {"array": [[1, 2]]}, r"shape \(n, 2\) .* got \(1, 2\)"),
    ("points", {"array": [[1, 2], [NAN, 0]]}, r"array must be finite, got nan at index \[1, 0\]"),
    ("points", {"array": [[1, 2], [3]]}, r"array must be an array of numbers"),
    ("points", {"array": [[1, 2], [1, 2]]}, r"points coincide"),
    ("points", {"array": [[1, 2], [3, 2]], "std": -1}, r"std must be .* got -1"),
    ("gaussian_mixture", {"means": [[0, 0]], "stds": [-1]}, r"stds must be positive, got -1"),
    (
        "gaussian_mixture",
        {"means": [[0, 0]], "stds": [1, 2]},
        r"stds must be one number or 1 of them, got shape \(2,\)",
    ),
    ("gaussian_mixture", {"means": [[0, NAN]], "stds": 1}, r"means must be finite, got nan"),
    ("gaussian_mixture", {"means": [0, 0], "stds": 1}, r"means must have shape \(k, dim\)"),
    (
        "gaussian_mixture",
        {"means": [[0], [1]], "stds": 1, "weights": [1, 0]},
        r"weights must be 2 positive numbers",
    ),
]


@pytest.mark.parametrize(("name", "options", "message"), BAD)
def test_bad_options_name_the_value_and_the_choices(name, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        dataset(name, **options)
    assert "\n" not in str(caught.value)


def test_options_of_the_wrong_type():
    """What JSON may bring where a number belongs; here without the type checks of the test hook around it."""
    for value in ("thin", [2], None, True, NAN, 11):
        with pytest.raises(ValueError, match=r"noise must be a finite number in \[0, 10\], got"):
            number("noise", value, low=0, high=10)
    for value in ("two", 2.5, NAN, -1, True):
        with pytest.raises(ValueError, match=r"arms must be a whole number in \[0, 9\], got"):
            whole("arms", value, 0, 9)
    assert number("noise", np.float32(0.5)) == 0.5
    assert isinstance(whole("arms", 4.0, 0, 9), int)
