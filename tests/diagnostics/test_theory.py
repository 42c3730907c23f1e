"""The quadratic in beta against closed forms, drawn noise, and routes that share no formula with it."""

import dataclasses

import jax
import numpy as np
import pytest
from theory_runs import gaussian_terms, sigma, untrained

import toylab as tl
from toylab import diagnostics
from toylab.diagnostics.batch_trace import gradient_space
from toylab.diagnostics.landscape import measured_residuals, published_formulas
from toylab.diagnostics.local import local_terms, over_pairs, plain_experiment, stacked
from toylab.diagnostics.quadratic import error_terms, quadratic, square_terms, top_share
from toylab.training.experiment import build_experiment


@pytest.fixture(scope="module")
def landscape(theory_run) -> diagnostics.Landscape:
    return diagnostics.beta_landscape(theory_run, num_points=8192, gradient_points=2048)


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


@pytest.mark.slow
def test_gradient_quadratics_equal_explicit_gradients(theory_run):
    """Tr(G N Sigma N^T) and the batch trace, against a covariance of explicit per-pair gradients at two beta."""
    wide = diagnostics.gradient_variance(theory_run, [0.0, 1.0], num_batches=768, seed=7)
    found = gradient_space(plain_experiment(theory_run.experiment), theory_run.state, 8192, 3).trace
    for beta, trace, low, high in wide[["beta", "trace", "low", "high"]].itertuples(index=False):
        assert low - 0.3 * (high - low) < found(beta) < high + 0.3 * (high - low)
        assert (high - low) / trace < 0.3  # or the check above says little


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


def test_the_best_beta_is_the_mean_of_those_of_the_points_weighted_by_curvature(landscape):
    points = landscape.points
    assert np.average(points["best"], weights=points["curvature"]) == pytest.approx(
        landscape.beta_star, rel=1e-9
    )
    assert abs(points["best"].mean() - landscape.beta_star) > 0.1
    assert landscape.local["below_0"] == np.mean(points["best"] < 0) < landscape.local["above_1"]
    assert landscape.local["q50"] == np.median(points["best"])


def test_landscape_speaks_and_draws(landscape):
    text = str(landscape)
    idle = dataclasses.replace(landscape, points=landscape.points[:0])
    assert "no effect" in str(idle)
    for part in ("beta* =", "scalar formula", "DISAGREES", "kappa < 0", "top 1% carry"):
        assert part in text
    assert len(landscape.figure().axes) == 2
    again = f"{landscape.beta_star_gradient} {landscape.beta_star_scalar} {landscape.sigma2} {landscape.bias}"
    assert "nan" not in again


def test_adaptive_weight_and_anchor_are_left_out(theory_run, landscape):
    config = theory_run.config.replace(adaptive_power=1.0, anchor_weight=0.5, coefficient="linear")
    weighted = tl.Run(config, theory_run.state, theory_run.history)
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
def test_other_objectives_are_refused(theory_run, changes, message):
    other = tl.Run(theory_run.config.replace(**changes), theory_run.state, theory_run.history)
    with pytest.raises(ValueError, match=message):
        diagnostics.beta_landscape(other)


@pytest.mark.parametrize(
    "arguments", [{"betas": []}, {"betas": [np.nan]}, {"num_points": 1}, {"num_batches": 1}, {"seed": -1}]
)
def test_bad_arguments_are_named(theory_run, arguments):
    with pytest.raises(ValueError, match="|".join(arguments)):
        diagnostics.beta_landscape(theory_run, **{"num_points": 512, "gradient_points": 64, **arguments})


def test_second_moment_adds_the_residual_to_the_noise(theory_run):
    """square_terms: exactly |r + beta A b|^2 plus the noise, by hand at one beta."""
    experiment = plain_experiment(theory_run.experiment)
    local = stacked(over_pairs(_bare_terms, experiment, theory_run.state, 64, 0))
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
