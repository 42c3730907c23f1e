"""Maps of noise and expansion against closed forms, and the separation law."""

import jax.numpy as jnp
import numpy as np
import pytest
from theory_runs import sigma

import toylab as tl
from toylab import diagnostics
from toylab.data.oracle import Oracle
from toylab.diagnostics.separation import log_max_expansion, log_separatrix_expansion, log_variance_ratio
from toylab.metrics.statistics import mean_interval


def test_maps_equal_closed_forms_on_gaussian_data():
    dataset = tl.dataset("two_gaussians", separation=0.0, std=0.6)
    found = diagnostics.maps(dataset, r=0.2, t=(0.5, 0.9), beta=0.4, resolution=9)
    for k, t in enumerate(found.t):
        rho = sigma(0.2) / sigma(t)
        np.testing.assert_allclose(found.expansion[k], rho, rtol=1e-3)
        np.testing.assert_allclose(found.best_beta[k], rho / (rho - 1), rtol=1e-2)
        expected = 2 * (rho + 0.4 * (1 - rho)) ** 2 * 0.36 / sigma(t) ** 2
        np.testing.assert_allclose(found.noise[k], expected, rtol=1e-3)
        assert found.density[k, 4, 4] == pytest.approx(1 / (2 * np.pi * sigma(t) ** 2), rel=0.05)
    table = found.quantiles()
    assert table["top_1%"].to_numpy() == pytest.approx(0.01, rel=1e-3)
    assert found.figure().axes


def test_a_separatrix_that_no_number_holds_is_left_out():
    found = diagnostics.maps("two_gaussians", t=(0.5, 1.0), beta=0.0, resolution=9)
    beyond = np.broadcast_to(np.abs(found.axis) < 1e-9, found.noise.shape)
    for field in (found.expansion, found.noise, found.best_beta, found.with_beta(1.0).noise):
        np.testing.assert_array_equal(np.isnan(field), beyond)
    assert np.all(np.isfinite(found.quantiles()))
    found.figure().canvas.draw()


def test_maps_of_a_run_are_those_of_its_net_and_proxy(theory_run):
    found = diagnostics.maps(theory_run, r=0.1, t=0.8, beta=0.0, resolution=5, extent=2.0)
    x = jnp.array([found.axis[3], found.axis[1]], jnp.float32)
    trained = tl.Run(
        theory_run.config, theory_run.state._replace(params_ema=theory_run.state.params), theory_run.history
    ).net
    h, r, t = 1e-2, jnp.float32(0.1), jnp.float32(0.8)
    columns = [(trained(x + h * e, r, t) - trained(x - h * e, r, t)) / (2 * h) for e in np.eye(2, dtype="f")]
    rho = np.eye(2) - 0.7 * np.stack(columns, axis=1)
    covariance = np.asarray(theory_run.dataset.velocity_moments(x, t)[1])
    assert found.expansion[0, 1, 3] == pytest.approx(np.linalg.norm(rho, 2), rel=1e-2)
    assert found.noise[0, 1, 3] == pytest.approx(np.trace(rho @ covariance @ rho.T), rel=2e-2)
    bias = theory_run.net(x, t, t) - theory_run.dataset.velocity(x, t)
    assert found.bias[0, 1, 3] == pytest.approx(float(jnp.linalg.norm(bias)), rel=1e-4)
    assert len(found.figure().axes) == 8  # four fields, each with its colour bar


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"t": 0.0}, "0 <= r < t"), ({"t": 0.5, "r": 0.6}, "0 <= r < t"), ({"resolution": 1}, "resolution")],
)
def test_bad_maps_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        diagnostics.maps("eight_gaussians", **arguments)
    with pytest.raises(ValueError, match="plane"):
        diagnostics.maps(tl.dataset("dgmm", dim=4))


@pytest.mark.slow
@pytest.mark.parametrize(("separation", "std", "r", "t"), [(2.0, 0.5, 0.1, 1.0), (3.0, 0.4, 0.01, 0.9)])
def test_separatrix_expands_by_its_closed_form(x64, separation, std, r, t):
    oracle = Oracle(tl.dataset("two_gaussians", separation=separation, std=std))
    rho = oracle.flow_map_jacobian(np.zeros((1, 2)), t, r)
    assert float(rho[0, 0, 0]) == pytest.approx(
        np.exp(log_separatrix_expansion(separation, std, r, t)), rel=1e-6
    )
    elsewhere = oracle.flow_map_jacobian(np.random.default_rng(0).normal(size=(50, 2)), t, r)
    assert float(jnp.max(jnp.linalg.norm(elsewhere, ord=2, axis=(1, 2)))) < float(rho[0, 0, 0])
    law = np.log(std) + separation**2 / (8 * std**2)
    assert log_separatrix_expansion(separation, std, 0.0, 1.0) == pytest.approx(law)
    assert log_max_expansion(separation, std) >= law - 1e-9


def test_variance_ratio_equals_that_of_points_on_the_exact_flow(x64):
    separation, std, n = 2.0, 0.5, 8000
    dataset = tl.dataset("two_gaussians", separation=separation, std=std)
    oracle, rng = Oracle(dataset), np.random.default_rng(4)
    r, t = np.sort(rng.uniform(1e-4, 1 - 1e-4, (n, 2)), axis=1).T
    x = (1 - t)[:, None] * dataset.sample(n, 5) + t[:, None] * rng.normal(size=(n, 2))
    rho, covariance = np.asarray(oracle.flow_map_jacobian(x, t, r)), oracle.velocity_covariance(x, t)
    noise = np.einsum("nij,njk,nik->n", rho, covariance, rho)
    plain = np.trace(covariance, axis1=1, axis2=2)
    ratio = np.exp(log_variance_ratio(separation, std))
    stderr = np.std(noise - ratio * plain) / n**0.5 / np.mean(plain)
    assert abs(np.mean(noise) / np.mean(plain) - ratio) < 4 * stderr + 0.005
    assert stderr < 0.05


@pytest.mark.slow
def test_separation_law_trains_and_draws():
    exact = diagnostics.separation_law((2.0, 6.0), (0.3, 0.5))
    assert exact.table["log_variance_ratio"].is_monotonic_increasing is False  # stds vary fastest
    grown = exact.table.pivot(index="std", columns="separation", values="log_variance_ratio")
    assert (grown[6.0] > grown[2.0]).all()
    assert len(exact.figure().axes) == 1
    trained = diagnostics.separation_law((4.0,), (0.3,), steps=20, seeds=(0, 1), num_samples=512)
    row = trained.table.iloc[0]
    scores = trained.runs.pivot(index="seed", columns="beta", values="sw1")
    ratio = mean_interval(np.log(scores[1.0] / scores[0.0]).to_numpy())
    assert row["gain"] == pytest.approx(1 - np.exp(ratio.mean))
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    assert row["seeds"] == 2
    assert len(trained.figure().axes) == 3
    for bad in ({"separations": ()}, {"stds": (0.0,)}, {"steps": 5, "seeds": ()}):
        with pytest.raises(ValueError, match=r"separations|stds|seed"):
            diagnostics.separation_law(**bad)
