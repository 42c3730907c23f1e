"""Diagnostics of the theory against closed forms, drawn noise, and routes that share no formula with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from test_methods import GaussianSolution

import toylab as tl
from toylab import diagnostics
from toylab.diagnostics.algebra import error_terms, square_terms
from toylab.diagnostics.batch_trace import gradient_space
from toylab.diagnostics.landscape import measured_residuals
from toylab.diagnostics.local import Local, local_terms, over_pairs, plain_experiment, stacked
from toylab.diagnostics.published import published_formulas
from toylab.diagnostics.quadratic import quadratic, top_share
from toylab.diagnostics.two_modes import log_max_expansion, log_separatrix_expansion, log_variance_ratio
from toylab.methods import Context, Example
from toylab.oracles import Oracle
from toylab.statistics import mean_interval
from toylab.training.experiment import build_experiment
from toylab.training.state import init_state

SETTINGS = {
    "dataset": "eight_gaussians",
    "steps": 400,
    "batch_size": 64,
    "width": 32,
    "depth": 2,
    "eval_samples": 0,
    "beta": 0.7,
}


@pytest.fixture(scope="module")
def run() -> tl.Run:
    """A small net, trained for long enough that A is far from zero."""
    return tl.train(tl.RunConfig(**SETTINGS), progress=False)


@pytest.fixture(scope="module")
def landscape(run) -> diagnostics.Landscape:
    return diagnostics.beta_landscape(run, num_points=8192, gradient_points=2048)


def gaussian_terms(n: int, std: float = 0.6, net_std: float = 0.6) -> tuple[Local, np.ndarray, np.ndarray]:
    """Terms of the exact solution for N(0, net_std^2) on data N(0, std^2), with an exact proxy; r and t."""
    options = {"separation": 0.0, "std": std}
    config = tl.RunConfig(dataset="two_gaussians", dataset_options=options, proxy="oracle")
    experiment = plain_experiment(build_experiment(config))
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(1e-2, 1, (n, 2)), axis=1)
    examples = Example(
        jnp.asarray(std * rng.normal(size=(n, 2))),
        jnp.asarray(rng.normal(size=(n, 2))),
        jnp.asarray(times[:, 0]),
        jnp.asarray(times[:, 1]),
        jnp.zeros((n, 0)),
    )
    net = GaussianSolution(net_std, jnp.zeros(()))
    context = Context(net, net, experiment.dataset)
    local = jax.vmap(lambda example: local_terms(experiment, net, example, context))(examples)
    return jax.tree.map(np.asarray, local), times[:, 0], times[:, 1]


def sigma(time, std: float = 0.6):
    return np.sqrt((1 - time) ** 2 * std**2 + time**2)


# Closed forms on Gaussian data.


def test_local_terms_equal_closed_forms_on_gaussian_data(x64):
    local, r, t = gaussian_terms(200)
    rho = sigma(r) / sigma(t)
    eye = np.eye(2)
    np.testing.assert_allclose(eye - local.gap_jacobian, rho[:, None, None] * eye, atol=1e-10)
    np.testing.assert_allclose(local.covariance, (0.36 / sigma(t) ** 2)[:, None, None] * eye, atol=1e-10)
    np.testing.assert_allclose(local.residual, 0, atol=1e-9)
    np.testing.assert_allclose(local.error, 0, atol=1e-12)
    # It can fail: the solution of another Gaussian has a residual.
    assert np.abs(gaussian_terms(200, net_std=0.9)[0].residual).max() > 0.1


def test_best_coefficient_of_single_points_is_rho_over_rho_minus_one(x64):
    local, r, t = gaussian_terms(200)
    rho = sigma(r) / sigma(t)
    terms = error_terms(local, True)
    best = -terms[:, 1] / (2 * terms[:, 2])
    np.testing.assert_allclose(best, rho / (rho - 1), rtol=1e-6)
    np.testing.assert_allclose(terms.sum(axis=1), 2 * 0.36 / sigma(t) ** 2, rtol=1e-9)  # beta = 1: Tr Sigma


def test_scalar_formula_is_exact_only_where_its_assumptions_hold(x64):
    """One time pair on Gaussian data: J = kappa I exactly, so every formula agrees; over all times none has to."""
    local, _, _ = gaussian_terms(200)
    one = jax.tree.map(lambda leaf: np.repeat(leaf[:1], 50, axis=0), local)
    exact, published = quadratic(error_terms(one, True)), published_formulas(one)
    assert published.kappa < 0  # the theorem takes it positive
    for value in (published.scalar, published.matrix, published.matrix_mean, published.pooled_without_bias):
        assert value == pytest.approx(exact.minimiser, rel=1e-9)
    # A bias shrinks the best coefficient as the formula says.
    biased = one._replace(error=np.broadcast_to([0.3, -0.4], one.error.shape))
    shrunk = quadratic(error_terms(biased, True)).minimiser
    assert published_formulas(biased).scalar == pytest.approx(shrunk, rel=1e-9)
    assert abs(shrunk) < 0.95 * abs(exact.minimiser)
    everywhere = quadratic(error_terms(local, True)).minimiser
    assert abs(published_formulas(local).scalar - everywhere) > 0.05


# The quadratic.


def test_three_measured_values_give_the_coefficients():
    rng = np.random.default_rng(1)
    terms = np.abs(rng.normal(size=(500, 3))) * [1, -2, 1]
    found = quadratic(terms)
    through = np.linalg.solve(np.vander([-0.5, 0.4, 1.5], increasing=True), found([-0.5, 0.4, 1.5]))
    np.testing.assert_allclose(through, found.coefficients, rtol=1e-10)
    assert found(found.minimiser) < min(found(found.minimiser + 0.01), found(found.minimiser - 0.01))


def test_the_minimisers_standard_error_is_that_of_repetitions():
    rng = np.random.default_rng(2)

    def draw():
        scale = rng.exponential(size=400)
        return quadratic(np.stack([scale, -2 * scale * rng.normal(1, 0.5, 400), scale], axis=1))

    repeated = [draw() for _ in range(300)]
    spread = np.std([each.minimiser for each in repeated])
    claimed = np.mean([each.minimiser_stderr for each in repeated])
    assert claimed == pytest.approx(spread, rel=0.15)


def test_top_share_counts_by_weight():
    values = np.r_[np.ones(990), np.full(10, 99.0)]
    assert top_share(values) == pytest.approx(0.5)
    assert top_share(values, np.full(1000, 0.3)) == pytest.approx(0.5)
    assert top_share(np.ones(50)) == pytest.approx(0.01)
    assert np.isnan(top_share(np.zeros(5)))


# The landscape.


def test_measured_noise_lies_on_the_quadratic(landscape):
    table = landscape.measured
    assert np.abs(table["residual_z"]).max() < 4
    low, high = table["gradient_low"], table["gradient_high"]
    # Six correlated intervals at one set of batches: half as wide again.
    slack = 0.5 * (high - low)
    assert ((table["gradient_exact"] > low - slack) & (table["gradient_exact"] < high + slack)).all()
    _, c1, c2 = landscape.coefficients
    assert landscape.beta_star == pytest.approx(-c1 / (2 * c2))
    # It can fail: without the bias and noise of the tangent nothing fits.
    assert abs(table["residual_exact"].iloc[0] - table["residual_exact"].iloc[3]) > 1


def test_gradient_quadratics_equal_explicit_gradients(run):
    """Tr(G N Sigma N^T) and the batch trace, against a covariance of explicit per-pair gradients at two beta."""
    wide = diagnostics.gradient_variance(run, [0.0, 1.0], num_batches=768, seed=7)
    found = gradient_space(plain_experiment(run.experiment), run.state, 8192, 3).trace
    for beta, trace, low, high in wide[["beta", "trace", "low", "high"]].itertuples(index=False):
        assert low - 0.3 * (high - low) < found(beta) < high + 0.3 * (high - low)
        assert (high - low) / trace < 0.3  # or the check above says little


def untrained(**changes) -> tl.Run:
    config = tl.RunConfig(**{**SETTINGS, "output_scale": 1.0, **changes})
    experiment = build_experiment(config)
    return tl.Run(config, jax.device_get(init_state(experiment)), pd.DataFrame())


@pytest.mark.parametrize(
    ("proxy", "options"), [("batch_posterior", {"num_reference": 32}), ("conditional", {})]
)
def test_a_proxy_with_noise_of_its_own_is_drawn(proxy, options):
    run = untrained(proxy=proxy, proxy_options=options)
    experiment = plain_experiment(run.experiment)
    found = stacked(over_pairs(measured_residuals((0.0, 1.3)), experiment, run.state, 512, 0))
    errors = np.sum((found["residuals"] - found["local"].residual[:, None]) ** 2, axis=-1)
    terms = error_terms(found["local"], exact=False)
    for column, beta in enumerate((0.0, 1.3)):
        expected = terms @ np.array([1, beta, beta**2])
        np.testing.assert_allclose(errors[:, column], expected, rtol=1e-3, atol=1e-3)
    if proxy == "conditional":  # every beta is vanilla MeanFlow
        assert np.isnan(quadratic(terms).minimiser)
        assert not terms[:, 1:].any()


def test_landscape_speaks_and_draws(landscape):
    text = str(landscape)
    idle = dataclasses.replace(landscape, local={})
    assert "no effect" in str(idle)
    for part in ("beta* =", "scalar formula", "DISAGREES", "kappa < 0", "top 1% carry"):
        assert part in text
    assert len(landscape.figure().axes) == 2
    again = f"{landscape.beta_star_gradient} {landscape.beta_star_scalar} {landscape.sigma2} {landscape.bias}"
    assert "nan" not in again


def test_adaptive_weight_and_anchor_are_left_out(run, landscape):
    config = run.config.replace(adaptive_power=1.0, anchor_weight=0.5, coefficient="linear")
    weighted = tl.Run(config, run.state, run.history)
    found = diagnostics.beta_landscape(weighted, num_points=8192, gradient_points=2048)
    np.testing.assert_allclose(found.coefficients, landscape.coefficients, rtol=1e-5)
    assert found.measured["gradient"][1] == pytest.approx(landscape.measured["gradient"][1], rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "flow_matching"}, "meanflow"),
        ({"target": "oracle"}, "conditional"),
    ],
)
def test_other_objectives_are_refused(run, changes, message):
    other = tl.Run(run.config.replace(**changes), run.state, run.history)
    with pytest.raises(ValueError, match=message):
        diagnostics.beta_landscape(other)


@pytest.mark.parametrize(
    "arguments", [{"betas": []}, {"betas": [np.nan]}, {"num_points": 1}, {"num_batches": 1}, {"seed": -1}]
)
def test_bad_arguments_are_named(run, arguments):
    with pytest.raises(ValueError, match="|".join(arguments)):
        diagnostics.beta_landscape(run, **{"num_points": 512, "gradient_points": 64, **arguments})


# Parts of the loss.


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.5])
def test_parts_add_up_to_the_loss(run, beta):
    parts = diagnostics.loss_decomposition(tl.Run(run.config.replace(beta=beta), run.state, run.history))
    assert abs(parts.measured - parts.total) < 4 * parts.stderr["difference"]
    assert parts.stderr["difference"] < 0.03 * parts.total
    # It can fail: each part alone is far from the loss.
    assert parts.noise < parts.measured - 4 * parts.stderr["difference"]
    assert (parts.bias == 0) == (beta == 0)


def test_trace_follows_lanes_of_different_beta():
    configs = [tl.RunConfig(**{**SETTINGS, "beta": beta, "log_every": 200}) for beta in (0.0, 1.0)]
    trace = diagnostics.trace_decomposition(configs, num_points=1024)
    table = trace.table
    assert list(table["step"]) == [200, 200, 400, 400]
    first, last = table[table["step"] == 200], table[table["step"] == 400]
    assert (last["residual"].to_numpy() < first["residual"].to_numpy()).all()
    # At beta = 1 the noise is Tr Sigma whatever the net; at beta = 0 it moves with the map.
    one, zero = table[table["beta"] == 1.0]["noise"], table[table["beta"] == 0.0]["noise"]
    assert np.ptp(one) < 1e-3 * one.mean()
    assert np.ptp(zero) > 0.02 * zero.mean()
    assert len(trace.figure().axes) == 4


# Theorems.


@pytest.mark.parametrize("beta", [0.0, 1.3])
def test_variance_amplification_has_the_factor_four(run, beta):
    found = diagnostics.variance_amplification(run, beta, num_points=4096)
    assert abs(found.factor - 4) < 4 * found.stderr
    assert found.stderr < 0.2  # a factor of 2 or 3 is more than five standard errors away
    assert found.figure().axes


def test_semi_gradient_gap_is_the_mean_field_and_the_noise_part(run):
    found = diagnostics.semi_gradient_gap(run, beta=0.3, num_points=8192)
    assert abs(found.slope - 1) < 4 * found.stderr
    assert found.stderr < 0.1
    assert found.mismatch < 2 * found.mismatch_expected
    # What the stop-gradient hides is mostly noise: the mean-field part alone explains nothing.
    assert abs(found.slope_without_noise - 1) > 0.5
    assert found.figure().axes


def test_optimal_coefficient_is_measured_where_the_exact_formula_says(run):
    found = diagnostics.optimal_coefficient(run, num_points=8192)
    assert abs(found.z) < 4
    assert abs(found.measured.minimiser - found.published.scalar) > 10 * found.measured.minimiser_stderr
    assert found.figure().axes


def test_an_error_in_the_tangent_vanishes_with_the_gap_and_in_the_target_does_not(x64):
    found = diagnostics.target_tangent_asymmetry(
        "eight_gaussians", gaps=(0.001, 0.002, 0.004), error=1e-3, num_points=64
    )
    assert found.tangent_slope == pytest.approx(1, abs=0.02)
    assert found.target_slope == pytest.approx(0, abs=1e-6)
    # The factor 1/2 is in the formula: with (t - r) d_x u e it would be 0.5.
    np.testing.assert_allclose(found.table["ratio"], 1, atol=0.02)
    np.testing.assert_allclose(found.table["target"], 1, atol=1e-6)
    assert found.figure().axes


# Maps.


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


def test_maps_of_a_run_are_those_of_its_net_and_proxy(run):
    found = diagnostics.maps(run, r=0.1, t=0.8, beta=0.0, resolution=5, extent=2.0)
    x = jnp.array([found.axis[3], found.axis[1]], jnp.float32)
    trained = tl.Run(run.config, run.state._replace(params_ema=run.state.params), run.history).net
    h, r, t = 1e-2, jnp.float32(0.1), jnp.float32(0.8)
    columns = [(trained(x + h * e, r, t) - trained(x - h * e, r, t)) / (2 * h) for e in np.eye(2, dtype="f")]
    rho = np.eye(2) - 0.7 * np.stack(columns, axis=1)
    covariance = np.asarray(run.dataset.velocity_moments(x, t)[1])
    assert found.expansion[0, 1, 3] == pytest.approx(np.linalg.norm(rho, 2), rel=1e-2)
    assert found.noise[0, 1, 3] == pytest.approx(np.trace(rho @ covariance @ rho.T), rel=2e-2)
    bias = run.net(x, t, t) - run.dataset.velocity(x, t)
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


# Separation.


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


def test_second_moment_adds_the_residual_to_the_noise(run):
    """square_terms: exactly |r + beta A b|^2 plus the noise, by hand at one beta."""
    experiment = plain_experiment(run.experiment)
    local = stacked(over_pairs(_bare_terms, experiment, run.state, 64, 0))
    identity = np.broadcast_to(np.eye(2), local.gap_jacobian.shape)
    beta, a = 1.4, local.gap_jacobian
    factor = identity - a + beta * a
    expected = np.sum((local.residual + beta * np.einsum("nij,nj->ni", a, local.error)) ** 2, axis=1)
    expected += np.trace(factor @ local.covariance @ factor.transpose(0, 2, 1), axis1=1, axis2=2)
    found = square_terms(local, True, identity) @ np.array([1, beta, beta**2])
    np.testing.assert_allclose(found, expected, rtol=1e-7)  # Sigma of float32 is not quite symmetric


def _bare_terms(experiment, state, batch):
    from toylab.diagnostics.local import batch_context

    net, context = batch_context(experiment, state, batch)
    return jax.vmap(lambda example: local_terms(experiment, net, example, context))(batch.pairs)


def test_plain_experiment_keeps_the_rest():
    config = tl.RunConfig(adaptive_power=1.0, anchor_weight=0.5, max_gap=0.5)
    built = build_experiment(config)
    plain = plain_experiment(built, beta=2.0)
    assert float(plain.method.weight.power) == 0
    assert plain.method.anchor is None
    assert float(plain.coefficient.beta) == 2
    assert dataclasses.replace(plain, method=built.method, coefficient=built.coefficient).max_gap == 0.5
