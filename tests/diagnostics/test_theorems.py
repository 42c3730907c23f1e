"""Parts of the loss, and the checks of the theorems on a run."""

import numpy as np
import pytest
from theory_runs import SETTINGS

import toylab as tl
from toylab import diagnostics


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.5])
def test_parts_add_up_to_the_loss(theory_run, beta):
    parts = diagnostics.loss_decomposition(
        tl.Run(theory_run.config.replace(beta=beta), theory_run.state, theory_run.history)
    )
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


@pytest.mark.parametrize("beta", [0.0, 1.3])
def test_variance_amplification_has_the_factor_four(theory_run, beta):
    found = diagnostics.variance_amplification(theory_run, beta, num_points=4096)
    assert abs(found.factor - 4) < 4 * found.stderr
    assert found.stderr < 0.2  # a factor of 2 or 3 is more than five standard errors away
    assert found.figure().axes


def test_semi_gradient_gap_is_the_mean_field_and_the_noise_part(theory_run):
    found = diagnostics.semi_gradient_gap(theory_run, beta=0.3, num_points=8192)
    assert abs(found.slope - 1) < 4 * found.stderr
    assert found.stderr < 0.1
    assert found.mismatch < 2 * found.mismatch_expected
    # What the stop-gradient hides is mostly noise: the mean-field part alone explains nothing.
    assert abs(found.slope_without_noise - 1) > 0.5
    assert found.figure().axes


def test_optimal_coefficient_is_measured_where_the_exact_formula_says(theory_run):
    found = diagnostics.optimal_coefficient(theory_run, num_points=8192)
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
