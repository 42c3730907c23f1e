"""Rules that estimate beta against the closed optimum, and their place in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

import toylab as tl
from toylab.coefficients import Observations, Situation, coefficients
from toylab.data import datasets
from toylab.methods import Context, Example
from toylab.methods.meanflow import MeanFlow
from toylab.proxies import proxies
from toylab.training.experiment import build_experiment

STD = 0.6


def exact_net(x, r, t):
    """u*(x, r, t) for N(0, STD^2) data, by the closed form."""

    def sigma(time):
        return jnp.sqrt((1 - time) ** 2 * STD**2 + time**2)

    slope = ((t + r) * (1 + STD**2) - 2 * STD**2) / (sigma(t) + sigma(r))
    return x * slope / sigma(t)


def rows(n: int, key):
    dataset = datasets.create("two_gaussians", {"separation": 0.0, "std": STD})
    key_data, key_eps = jax.random.split(key)
    x0, eps = dataset.draw(key_data, n).astype(jnp.float64), jax.random.normal(key_eps, (n, 2), jnp.float64)
    r, t = jnp.full(n, 0.2), jnp.full(n, 0.9)
    return dataset, Example(x0, eps, r, t, jnp.zeros((n, 0)))


@pytest.mark.slow
def test_population_rule_finds_the_exact_optimum(x64, key):
    """At the exact solution on Gaussian data rho is one number and beta* = rho / (rho - 1)."""
    dataset, examples = rows(20_000, key)
    method, context = MeanFlow(tangent=proxies.create("oracle")), Context(exact_net, exact_net, dataset)
    residual, slope = jax.vmap(lambda example: method.observe(example, context))(examples)
    cross, square = jnp.sum(residual * slope, axis=1), jnp.sum(slope**2, axis=1)
    rule = coefficients.create("population", {"low": -100.0, "high": 100.0, "decay": 0.0})
    memory = rule.remember(rule.init_memory(), Observations(examples.r, examples.t, cross, square))
    beta = rule(Situation(jnp.ones(()), examples.r[0], examples.t[0], memory))
    sigma = lambda time: np.sqrt((1 - time) ** 2 * STD**2 + time**2)  # noqa: E731
    rho = sigma(0.2) / sigma(0.9)
    assert float(beta) == pytest.approx(rho / (rho - 1), rel=1e-5)
    flipped = Observations(examples.r, examples.t, -cross, square)
    wrong = rule(Situation(jnp.ones(()), examples.r[0], examples.t[0], rule.remember(memory, flipped)))
    assert abs(float(wrong) - rho / (rho - 1)) > 0.5


def test_observations_make_the_loss_a_quadratic_in_beta(x64, key):
    dataset, examples = rows(1, key)
    example = jax.tree.map(lambda leaf: leaf[0], examples)

    def net(x, r, t):
        return jnp.sin(x * (1 + r)) + (t - r) * x[::-1]

    method, context = MeanFlow(tangent=proxies.create("oracle")), Context(net, net, dataset)
    residual, slope = method.observe(example, context)
    cross, square = residual @ slope, slope @ slope
    losses = [float(method.pair_loss(example, context, jnp.asarray(beta))) for beta in (0.0, 0.7, 2.0)]
    for beta, loss in zip((0.0, 0.7, 2.0), losses, strict=True):
        assert loss == pytest.approx(losses[0] + 2 * beta * float(cross) + beta**2 * float(square), rel=1e-12)


def test_binned_rule_keeps_cells_apart():
    rule = coefficients.create("binned", {"gaps": 2, "times": 2, "decay": 0.0, "low": -9.0, "high": 9.0})
    r, t = jnp.array([0.1, 0.0]), jnp.array([0.2, 0.9])
    observed = Observations(r, t, jnp.array([-1.0, -6.0]), jnp.array([1.0, 2.0]))
    memory = rule.remember(rule.init_memory(), observed)
    betas = [float(rule(Situation(jnp.ones(()), r[i], t[i], memory))) for i in range(2)]
    assert betas == pytest.approx([1.0, 3.0])
    untouched = rule(Situation(jnp.ones(()), jnp.asarray(0.8), jnp.asarray(0.9), memory))
    assert float(untouched) == rule.beta


def situation(a, sigma) -> Situation:
    zero = jnp.zeros(())
    return Situation(zero, zero, zero + 1, (), lambda: a, lambda: sigma)


def test_per_sample_rule_minimises_the_noise_of_its_point(x64, key):
    a = jax.random.normal(key, (2, 2), jnp.float64)
    sigma = jnp.array([[1.0, 0.4], [0.4, 2.0]])

    def noise(beta):
        n = jnp.eye(2) - a + beta * a
        return jnp.trace(n @ sigma @ n.T)

    beta = coefficients.create("per_sample", {"low": -100.0, "high": 100.0})(situation(a, sigma))
    assert abs(float(jax.grad(noise)(beta))) < 1e-10
    clipped = coefficients.create("per_sample", {"low": 0.1, "high": 0.1})(situation(a, sigma))
    assert float(clipped) == pytest.approx(0.1)


@pytest.mark.parametrize("shrinkage", [1e-3, 1.0])
def test_matrix_rule_minimises_its_penalised_noise(x64, key, shrinkage):
    a = jax.random.normal(key, (2, 2), jnp.float64)
    rule = coefficients.create("matrix", {"shrinkage": shrinkage, "beta": 0.7})

    def penalised(b):
        n = jnp.eye(2) - a + a @ b
        return jnp.trace(n @ n.T) + shrinkage * jnp.sum((b - 0.7 * jnp.eye(2)) ** 2)

    np.testing.assert_allclose(jax.grad(penalised)(rule(situation(a, jnp.eye(2)))), 0, atol=1e-9)


def test_matrix_coefficient_acts_like_a_number_where_it_is_a_multiple_of_the_identity(x64, key):
    dataset, examples = rows(1, key)
    example = jax.tree.map(lambda leaf: leaf[0], examples)
    method, context = MeanFlow(tangent=proxies.create("oracle")), Context(exact_net, exact_net, dataset)
    number = method.pair_loss(example, context, jnp.asarray(0.3))
    matrix = method.pair_loss(example, context, 0.3 * jnp.eye(2))
    assert float(number) == pytest.approx(float(matrix), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["population", "binned", "per_sample", "matrix"])
def test_rules_train_resume_bit_for_bit_and_keep_their_memory(tmp_path, rule):
    config = TINY.replace(coefficient=rule, beta=1.0)
    whole = tl.train(config, progress=False)
    trainer = tl.training.Trainer([config])
    trainer.advance(17)
    half = tl.training.Run(config, trainer.ensemble.states()[0], trainer.history(0))
    half.save(tmp_path / "half")
    resumed = tl.train(config, resume=tl.load(tmp_path / "half"), progress=False)
    for ours, theirs in zip(jax.tree.leaves(whole.state), jax.tree.leaves(resumed.state), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    shown = whole.history["beta"].iloc[-1]
    assert np.isnan(shown) if rule in ("per_sample", "matrix") else -1 <= shown <= 2


def test_a_rule_that_estimates_beta_needs_meanflow():
    with pytest.raises(ValueError, match=r"population.*meanflow.*flow_matching"):
        build_experiment(TINY.replace(coefficient="population", method="flow_matching"))


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("population", {"decay": 1.0}),
        ("binned", {"gaps": 0}),
        ("per_sample", {"low": 2.0}),
        ("matrix", {"shrinkage": 0.0}),
    ],
)
def test_bad_options_are_named(rule, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        coefficients.create(rule, options)


def test_a_rule_that_knows_independent_ends_is_refused_on_pairs_of_a_teacher():
    with pytest.raises(ValueError, match=r"per_sample.*'re_meanflow' couples them in pairs"):
        build_experiment(TINY.replace(coefficient="per_sample", method="re_meanflow"))
