"""Objectives against routes of their own: finite differences in float64, closed forms, and zero expected gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.data import datasets
from toylab.methods import Example
from toylab.methods.flow_matching import FlowMatching
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight, Anchor, average_velocity_and_derivative
from toylab.nets import MLPSpec, flat_net
from toylab.proxies import Context, proxies

NET = flat_net(MLPSpec(dim=2, width=8, depth=2, embed_dim=4, output_scale=1.0))
DATASET = datasets.create("eight_gaussians")


def example_at(r: float, t: float) -> Example:
    rng = np.random.default_rng(3)
    return Example(
        x0=jnp.asarray(rng.normal(size=2)),
        eps=jnp.asarray(rng.normal(size=2)),
        r=jnp.asarray(r),
        t=jnp.asarray(t),
        uniforms=jnp.asarray([0.3]),
    )


def parameters() -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(5)
    return jnp.asarray(rng.normal(size=NET.num_params) * 0.3), jnp.asarray(
        rng.normal(size=NET.num_params) * 0.3
    )


def inputs_of(params, params_ema, reference=None) -> Context:
    return Context(NET.bind(params), NET.bind(params_ema), DATASET, reference)


def slope(loss_of_params, params, direction) -> float:
    return float(jnp.vdot(jax.grad(loss_of_params)(params), direction))


def reference_slope(params, params_ema, example, beta, direction, sign=1.0, stop_gradient=True) -> float:
    """Directional derivative of the MeanFlow loss by finite differences alone: no jvp, no stop_gradient, no grad."""
    h = 1e-5
    x_t = (1 - example.t) * example.x0 + example.t * example.eps
    v_cond = example.eps - example.x0
    v_hat = NET.bind(params_ema)(x_t, example.t, example.t)
    tangent = (1 - beta) * v_cond + beta * v_hat

    def loss(moved):
        def u(offset, weights):
            return NET.bind(weights)(x_t + offset * tangent, example.r, example.t + offset)

        frozen = params if stop_gradient else moved
        du_dt = (u(h, frozen) - u(-h, frozen)) / (2 * h)
        return jnp.sum((u(0.0, moved) - v_cond + sign * (example.t - example.r) * du_dt) ** 2)

    return float(loss(params + h * direction) - loss(params - h * direction)) / (2 * h)


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.7, 1.0, 1.8])
def test_meanflow_gradient_equals_finite_differences(x64, beta):
    params, params_ema = parameters()
    direction = jnp.asarray(np.random.default_rng(7).normal(size=NET.num_params))
    example, method = example_at(0.2, 0.9), MeanFlow()

    def loss(p):
        return method.pair_loss(example, inputs_of(p, params_ema), jnp.asarray(beta))

    found = slope(loss, params, direction)
    assert found == pytest.approx(reference_slope(params, params_ema, example, beta, direction), rel=1e-6)
    # The check can fail: a flipped sign, a dropped stop-gradient and another beta are all far outside.
    for wrong in (
        reference_slope(params, params_ema, example, beta, direction, sign=-1.0),
        reference_slope(params, params_ema, example, beta, direction, stop_gradient=False),
        reference_slope(params, params_ema, example, beta + 0.1, direction),
    ):
        assert abs(found - wrong) > 1e-4 * abs(found)  # a hundred times the tolerance above


def test_total_derivative_equals_central_difference(x64):
    net = NET.bind(parameters()[0])
    x, r, t, tangent = jnp.array([0.3, -1.2]), jnp.asarray(0.1), jnp.asarray(0.8), jnp.array([1.5, -0.4])
    _, du_dt = average_velocity_and_derivative(net, x, r, t, tangent)
    h = 1e-6
    difference = (net(x + h * tangent, r, t + h) - net(x - h * tangent, r, t - h)) / (2 * h)
    np.testing.assert_allclose(du_dt, difference, rtol=1e-7)


@pytest.mark.parametrize("name", ["conditional", "ema", "online", "oracle", "batch_posterior"])
def test_meanflow_at_equal_times_is_flow_matching(x64, name):
    params, params_ema = parameters()
    inputs = inputs_of(params, params_ema, reference=jnp.asarray(DATASET.sample(64, seed=1), jnp.float64))
    example = example_at(0.6, 0.6)
    method = MeanFlow(tangent=proxies.create(name))
    pair = method.pair_loss(example, inputs, jnp.asarray(0.8))
    assert float(pair) == pytest.approx(float(method.equal_loss(example, inputs)), rel=1e-12)
    assert float(pair) == pytest.approx(float(FlowMatching().equal_loss(example, inputs)), rel=1e-12)


def test_conditional_proxy_is_vanilla_meanflow_at_every_beta(x64):
    example, inputs = example_at(0.1, 0.9), inputs_of(*parameters())
    vanilla = MeanFlow().pair_loss(example, inputs, jnp.asarray(0.0))
    same = MeanFlow(tangent=proxies.create("conditional")).pair_loss(example, inputs, jnp.asarray(0.7))
    assert float(vanilla) == pytest.approx(float(same), rel=1e-12)
    assert abs(float(MeanFlow().pair_loss(example, inputs, jnp.asarray(0.7)) - vanilla)) > 1e-3


class GaussianSolution:
    """u*(x, r, t) for data N(0, s^2 I) plus theta times a feature: theta = 0 is the exact solution."""

    def __init__(self, std: float, theta):
        self.std, self.theta = std, theta

    def __call__(self, x, r, t):
        def sigma(time):
            return jnp.sqrt((1 - time) ** 2 * self.std**2 + time**2)

        gap = t - r
        # (sigma(t) - sigma(r)) / gap without the division by a gap that may vanish.
        slope = ((t + r) * (1 + self.std**2) - 2 * self.std**2) / (sigma(t) + sigma(r))
        feature = x * jnp.cos(3 * t) + jnp.array([gap, 1.0])
        return x * slope / sigma(t) + self.theta * feature


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("target", ["conditional", "oracle"])
def test_expected_gradient_vanishes_at_the_exact_solution(x64, key, beta, target):
    std, n = 0.6, 20_000
    dataset = datasets.create("two_gaussians", {"separation": 0.0, "std": std})
    method = MeanFlow(tangent=proxies.create("oracle"), target=proxies.create(target))
    key_data, key_eps, key_times = jax.random.split(key, 3)
    times = jnp.sort(jax.random.uniform(key_times, (n, 2), jnp.float64), axis=1)
    examples = Example(
        x0=dataset.draw(key_data, n).astype(jnp.float64),
        eps=jax.random.normal(key_eps, (n, 2), jnp.float64),
        r=times[:, 0],
        t=times[:, 1],
        uniforms=jnp.zeros((n, 0)),
    )

    def gradient(example):
        def loss(theta):
            net = GaussianSolution(std, theta)
            return method.pair_loss(example, Context(net, net, dataset, None), jnp.asarray(beta))

        return jax.grad(loss)(jnp.zeros(()))

    gradients = jax.vmap(gradient)(examples)
    # With the oracle in both places at beta = 1 every single gradient vanishes, not only the mean.
    assert abs(float(jnp.mean(gradients))) < 5 * float(jnp.std(gradients)) / n**0.5 + 1e-12


def test_a_wrong_solution_has_a_gradient(x64, key):
    """The check above can fail: around a Gaussian of another width the mean gradient is many standard errors off."""
    dataset = datasets.create("two_gaussians", {"separation": 0.0, "std": 0.6})
    n = 20_000
    key_data, key_eps = jax.random.split(key)
    x0, eps = dataset.draw(key_data, n).astype(jnp.float64), jax.random.normal(key_eps, (n, 2), jnp.float64)

    def gradient(x0, eps):
        def loss(theta):
            net = GaussianSolution(0.9, theta)
            example = Example(x0, eps, jnp.asarray(0.1), jnp.asarray(0.8), jnp.zeros(0))
            return MeanFlow().pair_loss(example, Context(net, net, dataset, None), jnp.asarray(0.5))

        return jax.grad(loss)(jnp.zeros(()))

    gradients = jax.vmap(gradient)(x0, eps)
    assert abs(float(jnp.mean(gradients) / (jnp.std(gradients) / jnp.sqrt(n)))) > 10


def test_a_target_made_of_the_net_keeps_the_conditional_velocity_at_equal_times(x64):
    inputs, example = inputs_of(*parameters()), example_at(0.5, 0.5)
    for name in ("ema", "online"):
        method = MeanFlow(target=proxies.create(name))
        assert float(method.equal_loss(example, inputs)) == float(FlowMatching().equal_loss(example, inputs))
    with pytest.raises(ValueError, match="own net"):
        FlowMatching(target=proxies.create("ema"))


def test_adaptive_weight_gives_the_published_gradient(x64):
    residual = jnp.array([0.3, -2.0])

    def weighted(power):
        return jax.grad(lambda e: AdaptiveWeight(power, 0.01)(jnp.sum(e**2)))(residual)

    np.testing.assert_allclose(weighted(0.0), 2 * residual, rtol=1e-12)
    np.testing.assert_allclose(weighted(1.0), 2 * residual / (jnp.sum(residual**2) + 0.01), rtol=1e-12)


def test_anchor_adds_small_gap_flow_matching(x64):
    params, params_ema = parameters()
    inputs, example = inputs_of(params, params_ema), example_at(0.2, 0.7)
    anchor = Anchor(weight=0.5, low=0.01, high=0.05)
    extra = MeanFlow(anchor=anchor).pair_loss(example, inputs, jnp.asarray(1.0)) - MeanFlow().pair_loss(
        example, inputs, jnp.asarray(1.0)
    )
    delta = 0.01 + 0.3 * 0.04
    u = inputs.net(example.x_t, example.t - delta, example.t)
    assert float(extra) == pytest.approx(0.5 * float(jnp.sum((u - example.v_cond) ** 2)), rel=1e-10)


def test_batch_posterior_tends_to_the_oracle(x64):
    x0, eps, t = jnp.array([2.8, 0.3]), jnp.array([0.5, -1.0]), jnp.asarray(0.7)
    x_t = (1 - t) * x0 + t * eps
    exact = DATASET.velocity(x_t, t)

    def error(num_reference):
        proxy = proxies.create("batch_posterior", {"num_reference": num_reference})
        errors = []
        for seed in range(8):
            reference = jnp.asarray(DATASET.sample(num_reference, seed), jnp.float64)
            v_hat = proxy(x_t, t, x0, eps, Context(None, None, DATASET, reference))
            errors.append(float(jnp.linalg.norm(v_hat - exact)))
        return np.mean(errors)

    coarse, fine = error(128), error(8192)
    assert fine < 0.3 * coarse  # a factor 8 by the square root of 64, with room for chance
    assert fine < 0.1


def test_batch_posterior_is_the_conditional_velocity_near_data():
    x0, eps, t = jnp.array([2.8, 0.3]), jnp.array([0.5, -1.0]), jnp.asarray(1e-4)
    reference = jnp.asarray(DATASET.sample(512, 0))
    v_hat = proxies.create("batch_posterior")(x0, t, x0, eps, Context(None, None, DATASET, reference))
    np.testing.assert_allclose(v_hat, eps - x0, rtol=1e-5)
