"""The oracle against finite differences, identities and closed forms; each check is shown able to fail."""

import functools

import dataset_reference as ref
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import qmc

from toylab.data import dataset, datasets
from toylab.data import oracle as oracles
from toylab.data.oracle import Oracle, oracle

NAMES = datasets.names()
# Enough points to see an error, few enough that the slowest flow stays quick.
NUM_POINTS = 5


def velocity_identity_error(jacobian, sigma, t):
    """Distance from d_x v = (I - a Sigma) / t."""
    return np.abs(jacobian - (np.eye(sigma.shape[-1]) - (1 - t) * sigma) / t).max()


def meanflow_error(u_fn, v, x, r, t, step=1e-4):
    """Distance from u + (t - r) (d_x u v + d_t u) = v, by central differences along (v, 0, 1)."""
    du_dt = (u_fn(x + step * v, r, t + step) - u_fn(x - step * v, r, t - step)) / (2 * step)
    return np.abs(u_fn(x, r, t) + (t - r) * du_dt - v).max()


def semigroup_error(flow_fn, x, t, s, r):
    """Distance from phi_{s->r} o phi_{t->s} = phi_{t->r}."""
    return np.abs(flow_fn(flow_fn(x, t, s), s, r) - flow_fn(x, t, r)).max()


def jacobian_error(flow_fn, jacobian, x, t, r, step=1e-4):
    """Distance of the Jacobian from central differences of the flow map."""
    columns = [
        (flow_fn(x + step * e, t, r) - flow_fn(x - step * e, t, r)) / (2 * step) for e in np.eye(x.shape[-1])
    ]
    return np.abs(np.stack(columns, -1) - jacobian).max()


@functools.cache
def built(name):
    return Oracle(ref.build(name))


@pytest.mark.parametrize("name", NAMES)
def test_velocity_jacobian(name, x64):
    o = built(name)
    for t in (0.01, 0.4, 1.0):
        x = ref.noised(name, 20, t)
        jacobian, sigma = o.velocity_jacobian(x, t), o.velocity_covariance(x, t)
        assert velocity_identity_error(jacobian, sigma, t) < 1e-6 / t
        if t < 1:
            assert velocity_identity_error(jacobian, -sigma, t) > 1e-2
        step = 1e-5 * t
        columns = [
            (o.velocity(x + step * e, t) - o.velocity(x - step * e, t)) / (2 * step) for e in np.eye(2)
        ]
        np.testing.assert_allclose(np.stack(columns, -1), jacobian, rtol=1e-4, atol=1e-4 / t)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_flow_identities(name, x64):
    """MeanFlow identity, semigroup and the limit r -> t from one compiled average velocity."""
    o = built(name)
    t, s, r = 0.8, 0.45, 0.2
    x = ref.noised(name, NUM_POINTS, t, seed=3)
    v = np.asarray(o.velocity(x, t))

    def u(x, r, t):
        return np.asarray(o.average_velocity(x, r, t))

    def flow(x, t, r):
        return x - (t - r) * u(x, r, t)

    assert meanflow_error(u, v, x, r, t) < 2e-5 * (1 + np.abs(v).max())
    assert semigroup_error(flow, x, t, s, r) < 1e-7
    np.testing.assert_allclose(u(x, t, t), v, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(u(x, t - 1e-9, t), v, rtol=1e-6, atol=1e-6)

    assert meanflow_error(lambda x, r, t: -u(x, r, t), v, x, r, t) > 1e-2
    assert meanflow_error(lambda x, r, t: np.asarray(o.velocity(x, t)), v, x, r, t) > 1e-2
    assert semigroup_error(lambda x, t, r: x - (t - r) * np.asarray(o.velocity(x, t)), x, t, s, r) > 1e-3


@pytest.mark.parametrize("name", ["eight_gaussians", "checkerboard"])
def test_flow_map_jacobian(name, x64):
    o = built(name)
    t, r = 0.8, 0.2
    x = ref.noised(name, NUM_POINTS, t, seed=3)
    rho = np.asarray(o.flow_map_jacobian(x, t, r))

    def flow(x, t, r):
        return np.asarray(x - (t - r) * o.average_velocity(x, r, t))

    assert jacobian_error(flow, rho, x, t, r) < 1e-5 * (1 + np.abs(rho).max())
    assert jacobian_error(flow, np.swapaxes(rho, 1, 2) * [[1, -1], [-1, 1]], x, t, r) > 1e-3
    # J* = (t - r) d_x u* - I = -rho, by differences of u alone.
    step = 1e-4
    slopes = [
        (o.average_velocity(x + step * e, r, t) - o.average_velocity(x - step * e, r, t)) / (2 * step)
        for e in np.eye(2)
    ]
    jacobi_factor = (t - r) * np.stack(slopes, -1) - np.eye(2)
    np.testing.assert_allclose(jacobi_factor, -rho, rtol=1e-4, atol=1e-5)
    assert np.abs(jacobi_factor - rho).max() > 0.1


@pytest.mark.slow
def test_gaussian_closed_form(x64):
    """N(0, s^2): rho = sigma(r) / sigma(t) and u = x (1 - rho) / (t - r)."""
    std = 0.7
    o = oracle("gaussian_mixture", means=[[0.0, 0.0]], stds=std)
    x = np.random.default_rng(0).normal(size=(4, 2))

    def sigma(t):
        return np.sqrt((1 - t) ** 2 * std**2 + t**2)

    for t, r in ((1.0, 0.0), (0.9, 0.3), (0.5, 0.4999), (0.3, 0.0), (2e-4, 0.0), (5e-5, 0.0)):
        rho = sigma(r) / sigma(t)
        # The straight last step below 1e-4 is wrong by about 1e-8.
        exact = x * (1 - rho) / (t - r)
        np.testing.assert_allclose(o.average_velocity(x, r, t), exact, atol=1e-7 + 3e-8 / (t - r))
        np.testing.assert_allclose(o.flow_map(x, t, r), x * rho, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(o.flow_map_jacobian(x, t, r), [rho * np.eye(2)] * 4, atol=1e-7)
        v_slope = (t - (1 - t) * std**2) / sigma(t) ** 2
        np.testing.assert_allclose(o.velocity(x, t), v_slope * x, atol=1e-12)
        np.testing.assert_allclose(o.velocity_covariance(x, t), [std**2 / sigma(t) ** 2 * np.eye(2)] * 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_flow_of_noise_is_data(name):
    """Sliced distance of 1 -> 0 samples to fresh data, against the same between fresh data; in float32."""
    n = 256 if name == "pinwheel" else 2048
    # Noise that fills the plane evenly: its own luck would blur the comparison.
    noise = ndtri(qmc.Sobol(2, seed=1).random(n)).astype(np.float32)
    u = np.asarray(built(name).average_velocity(noise, 0.0, 1.0))
    assert u.dtype == np.float32
    generated = noise - u
    fresh = [ref.reference_sample(name, n, seed) for seed in range(21, 25)]
    floor = max(sliced_distance(a, b) for i, a in enumerate(fresh) for b in fresh[:i])
    assert np.median([sliced_distance(generated, other) for other in fresh]) < 1.3 * floor
    straight = noise - np.asarray(built(name).velocity(noise, 1.0))
    assert np.median([sliced_distance(straight, other) for other in fresh]) > 1.3 * floor


def sliced_distance(a, b):
    angles = np.pi * (np.arange(50) + 0.5) / 50
    directions = np.stack([np.cos(angles), np.sin(angles)])
    return np.abs(np.sort(a @ directions, 0) - np.sort(b @ directions, 0)).mean()


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_precision_shapes_and_mixed_times(precision):
    o = built("two_moons")
    with jax.enable_x64(precision is np.float64):
        x = np.random.default_rng(0).normal(size=(3, 2)).astype(precision)
        t = np.array([1e-4, 0.5, 1.0])
        for value, shape in (
            (o.velocity(x, t), (3, 2)),
            (o.velocity_covariance(x, t), (3, 2, 2)),
            (o.velocity_jacobian(x, t), (3, 2, 2)),
        ):
            assert isinstance(value, jax.Array)
            assert value.dtype == precision
            assert value.shape == shape
            assert np.all(np.isfinite(value))
        for other in (np.int64, np.float32, np.float16):  # x64 decides, not the points
            assert o.velocity(np.array([[1, 2]], other), 1).dtype == precision
        np.testing.assert_allclose(o.velocity(x, 0.5)[1], o.velocity(x, t)[1], rtol=1e-5)


def test_batches_agree_with_single_points(monkeypatch):
    ds = dataset("two_moons")
    x = np.random.default_rng(0).normal(size=(23, 2)).astype(np.float32)
    t = np.linspace(0.1, 1, 23)
    whole = Oracle(ds).velocity(x, t)
    monkeypatch.setattr(oracles, "_LARGEST_BATCH", 5)
    jax.clear_caches()
    batched = Oracle(ds).velocity(x, t)
    np.testing.assert_allclose(batched, whole, rtol=1e-5, atol=1e-5)
    monkeypatch.undo()
    jax.clear_caches()


@pytest.mark.slow
def test_inside_jit_vmap_and_grad():
    ds = dataset("eight_gaussians")
    o = Oracle(ds)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2)), jnp.float32)
    inside = jax.jit(lambda x, t: o.velocity(x, t))(x, jnp.float32(0.5))
    np.testing.assert_allclose(inside, o.velocity(x, 0.5), rtol=1e-6)
    mapped = jax.vmap(lambda x: oracles.velocity(ds, x, jnp.float32(0.5)))(x)
    np.testing.assert_allclose(mapped, inside, rtol=1e-6)
    # Reverse mode through the solver agrees with the variational equation.
    u, t, r = (
        jax.jit(jax.grad(lambda x: oracles.flow_map(ds, x, jnp.float32(0.7), jnp.float32(0.3))[0])),
        0.7,
        0.3,
    )
    rho = o.flow_map_jacobian(x, t, r)
    np.testing.assert_allclose(jnp.stack([u(row) for row in x]), rho[:, 0], rtol=2e-3, atol=2e-3)


def test_lanes_of_datasets():
    """Datasets of one structure stack: the oracle differs per lane without another compilation."""
    lanes = [dataset("two_gaussians", separation=s) for s in (2.0, 4.0)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *lanes)
    x, t = jnp.array([0.3, 0.1]), jnp.float32(0.4)
    v = eqx.filter_vmap(lambda ds: oracles.velocity(ds, x, t))(stacked)
    for i, lane in enumerate(lanes):
        np.testing.assert_allclose(v[i], oracles.velocity(lane, x, t), rtol=1e-5)


def test_many_points_in_batches():
    cloud = np.random.default_rng(0).normal(size=(20_000, 2))
    o = oracle("points", array=cloud)
    x = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
    assert np.abs(np.asarray(o.velocity(x, 0.5))).mean() < 0.1


X = np.zeros((2, 2))
BAD = [
    (lambda o: o.velocity(np.zeros(2), 0.5), r"x must have shape \(n, 2\), got \(2,\)"),
    (lambda o: o.velocity(np.zeros((4, 3)), 0.5), r"x must have shape \(n, 2\), got \(4, 3\)"),
    (lambda o: o.velocity(X, 0.0), r"t must be in \(0, 1\], got 0"),
    (lambda o: o.velocity(X, np.array([0.5, 1.5])), r"t must be in \(0, 1\], got 1.5"),
    (lambda o: o.velocity(X, float("nan")), r"t must be in \(0, 1\], got nan"),
    (lambda o: o.velocity(X, np.ones(3)), r"t must be a scalar or have shape \(2,\), got \(3,\)"),
    (lambda o: o.flow_map(X, 0.3, 0.5), r"r must be in \[0, t\], got r = 0.5 at t = 0.3"),
    (lambda o: o.average_velocity(X, -0.1, 0.5), r"r must be in \[0, t\], got r = -0.1 at t = 0.5"),
    (lambda o: oracle("moons"), r"unknown dataset 'moons'; choices: checkerboard"),
    (lambda o: oracle(o.dataset, std=2), r"options \['std'\] need the name of a dataset"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_calls_are_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call(built("eight_gaussians"))
    assert "\n" not in str(caught.value)
