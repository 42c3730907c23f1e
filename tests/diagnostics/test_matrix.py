"""The best matrix in the place of beta, from products with vectors: against exact matrices, and on a transformer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_by_time import run_of
from theory_runs import SETTINGS

import toylab as tl
from toylab.diagnostics import matrix_coefficient
from toylab.diagnostics.landscape import published_formulas
from toylab.diagnostics.local import (
    batch_context,
    local_terms,
    over_pairs,
    plain_experiment,
    reference_velocity,
    seen_velocity,
    stacked,
)
from toylab.diagnostics.matrix import Products, _summary
from toylab.diagnostics.quadratic import error_terms, quadratic
from toylab.methods import Context, Example
from toylab.training.experiment import build_experiment


def exact_rows(experiment, state, batch):
    net, context = batch_context(experiment, state, batch)
    return jax.vmap(lambda example: local_terms(experiment, net, example, context))(batch.pairs)


def exact_terms(run, num_points, seed):
    return stacked(over_pairs(exact_rows, plain_experiment(run.experiment), run.state, num_points, seed))


@pytest.fixture(scope="module")
def local(theory_run):
    return exact_terms(theory_run, 32_768, seed=5)


@pytest.fixture(scope="module")
def found(theory_run):
    return matrix_coefficient(theory_run, num_points=16_384)


def test_a_number_is_that_of_the_exact_matrices(found, local):
    exact, published = quadratic(error_terms(local, exact=True)), published_formulas(local)
    assert abs(found.scalar - exact.minimiser) < 4 * np.hypot(found.scalar_stderr, exact.minimiser_stderr)
    distance = found.scalar_without_bias - published.pooled_without_bias
    assert abs(distance) < 4 * np.hypot(found.scalar_without_bias_stderr, exact.minimiser_stderr)
    assert found.scalar < found.scalar_without_bias
    at_zero = found.noise.loc["zero"]
    assert abs(2 * at_zero.noise - exact(0)) < 4 * 2 * at_zero.noise_stderr
    cut = 1 - exact(exact.minimiser) / exact(0)
    assert abs(found.noise.cut["scalar"] - cut) < 4 * found.noise.cut_stderr["scalar"]


def test_a_matrix_is_the_exact_minimiser(theory_run, local):
    """f(B) = E Tr((J - A B) Sigma (J - A B)^T) + E|A B b|^2, least where E A^T A B (Sigma + b b^T) = E A^T J Sigma."""
    found = matrix_coefficient(theory_run, basis="full", num_points=16_384)
    a, sigma, b = local.gap_jacobian, local.covariance, local.error
    square, second = np.swapaxes(a, 1, 2) @ a, sigma + b[:, :, None] * b[:, None, :]
    system = np.einsum("nik,njl->ijkl", square, second).reshape(4, 4)
    wanted = np.einsum("nji,njk,nkl->il", a, a - np.eye(2), sigma).ravel()
    best = np.linalg.solve(system, wanted)
    assert np.all(np.abs(found.matrix.ravel() - best) < 4 * found.parts_stderr)
    assert found.noise.cut["matrix"] > found.noise.cut["scalar"] - found.noise.cut_stderr["scalar"]
    spread = np.abs(found.halves[0] - found.halves[1]) / found.parts_stderr
    assert np.all(spread < 8)  # of a difference of halves: two standard errors each


def test_a_reference_enters_by_its_error_times_that_of_the_proxy(theory_run, local, found):
    """A net that knows nothing, as reference: only E (J d) . (A b) of its error d may be seen."""
    other = run_of(tl.RunConfig(**{**SETTINGS, "method": "flow_matching", "beta": 0.0}))
    judged = matrix_coefficient(theory_run, other, num_points=16_384)
    # d itself, on the same pairs as the exact terms.
    d = stacked(
        over_pairs(
            reference_errors,
            theory_run.experiment,
            theory_run.state,
            32_768,
            5,
            shared=((other.experiment, other.state),),
        )
    )
    a, b = local.gap_jacobian, local.error
    ab, jd = np.einsum("nij,nj->ni", a, b), np.einsum("nij,nj->ni", a, d) - d
    terms = error_terms(local, exact=True)
    cross = terms[:, 1].mean() / 2 - np.sum(jd * ab, axis=1).mean()
    assert abs(judged.scalar + cross / terms[:, 2].mean()) < 4 * judged.scalar_stderr
    noise = error_terms(local._replace(error=0 * b), exact=True)[:, 2].mean()
    without = -cross / (noise + np.sum((jd + d) * ab, axis=1).mean())
    assert abs(judged.scalar_without_bias - without) < 4 * judged.scalar_without_bias_stderr
    assert judged.noise.noise["zero"] > 1.5 * found.noise.noise["zero"]  # there its own error counts


def reference_errors(experiment, state, batch, reference):
    def one(example):
        return reference_velocity(reference, example) - experiment.dataset.velocity(example.x_t, example.t)

    return jax.vmap(one)(batch.pairs)


DIGITS = tl.RunConfig(dataset="digits", net="dit", net_options={"size": "nano", "patch": 4})


@pytest.mark.slow
def test_a_transformer_on_images_is_measured_by_the_same_function():
    run = run_of(DIGITS.replace(dataset_options={"labels": False}))
    found = matrix_coefficient(run, num_points=256)
    exact = quadratic(error_terms(exact_terms(run, 128, seed=1), exact=True))
    assert abs(found.scalar - exact.minimiser) < 4 * np.hypot(found.scalar_stderr, exact.minimiser_stderr)
    np.testing.assert_allclose(found.basis.sum(axis=0), np.eye(64), atol=1e-10)
    assert found.matrix.shape == (64, 64)
    assert len(found.parts) == 4


@pytest.mark.parametrize(("label", "seen"), [(3, 1.25 * 2.0 - 0.75 * 5.0 + 0.5 * 7.0), (10, 2.0)])
def test_guidance_moves_the_true_velocity_as_it_moves_the_drawn_one(label, seen):
    """omega v + (1 - omega - kappa) v_all + kappa v_class; where the class is hidden, v."""
    experiment = build_experiment(DIGITS.replace(guidance=1.25, guidance_mix=0.5, label_dropout=0.1))
    context = Context(*2 * [lambda x, r, t, label=None: 0 * x + (5.0 if label is None else 7.0)])
    x, t = jnp.ones(64), jnp.asarray(0.5)
    example = Example(x, -x, t / 2, t, jnp.zeros(0), jnp.asarray(label))
    found = seen_velocity(experiment, example, context, 2 * x)
    np.testing.assert_allclose(found, seen, rtol=1e-6)


def test_a_reference_must_know_the_velocity():
    run = run_of(DIGITS.replace(guidance_mix=0.5, label_dropout=0.1))
    for reference, message in (
        (None, "digits has classes and no one velocity: give a reference run"),
        (run, "the reference was trained with guidance"),
        (run_of(DIGITS), "the reference has seen no hidden class"),
    ):
        with pytest.raises(ValueError, match=message):
            matrix_coefficient(run, reference)


def test_a_reference_of_other_data_is_refused(theory_run):
    settings = {**SETTINGS, "dataset": "two_moons", "method": "flow_matching", "beta": 0.0}
    with pytest.raises(ValueError, match="the reference was trained on two_moons, not eight_gaussians"):
        matrix_coefficient(theory_run, run_of(tl.RunConfig(**settings)))


def test_without_effect_there_is_no_best():
    nothing = Products(np.ones(6), np.zeros((6, 1)), np.zeros((6, 1, 1)), np.zeros(6))
    found = _summary(nothing, np.eye(2)[None], np.ones(1), has_bias=True, velocity="exact")
    assert np.isnan(found.scalar)
    assert np.isnan(found.scalar_without_bias)
    assert np.all(np.isnan(found.parts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"basis": "bands"}, "unknown basis 'bands'; choices: full, principal"),
        ({"num_groups": 3}, "num_groups"),
        ({"num_points": 3}, "num_points"),
    ],
)
def test_bad_arguments_are_named(theory_run, arguments, message):
    with pytest.raises(ValueError, match=message):
        matrix_coefficient(theory_run, **arguments)
