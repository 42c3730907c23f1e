"""Labels and guidance in the loss of a batch: against a plain NumPy loss, split against whole, for both nets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toylab as tl
from toylab.methods import Context, Example, methods
from toylab.methods.guidance import Guidance
from toylab.nets import OfClass, flat_net
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment
from toylab.training.objective import batch_loss, draw_batch, loss_and_gradient
from toylab.training.state import init_state

DIT = {"net": "dit", "net_options": {"size": "nano", "patch": 4}}
MLP = {"net": "mlp", "width": 16, "depth": 2, "embed_dim": 8, "output_scale": 1.0}
BASE = tl.RunConfig(
    dataset="digits",
    batch_size=16,
    p_equal=0.75,
    adaptive_power=0.5,
    label_dropout=0.4,
    steps=10,
    eval_samples=0,
)
GUIDED = {"guidance": 1.5, "guidance_mix": 0.4}


def state_and_batch(experiment, dtype=jnp.float32):
    """A state whose two nets differ and say something, and a batch with hidden labels among both kinds of rows."""
    rng = np.random.default_rng(0)
    size = flat_net(experiment.net).num_params
    params, params_ema = (jnp.asarray(0.15 * rng.normal(size=size), dtype) for _ in range(2))
    state = jax.tree.map(jnp.zeros_like, jax.eval_shape(init_state, experiment))
    state = state._replace(params=params, params_ema=params_ema)
    batch = jax.jit(draw_batch)(experiment, jax.random.key(4))
    batch = jax.tree.map(lambda leaf: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf, batch)
    for rows in (batch.pairs, batch.equal):
        assert {bool(label == 10) for label in rows.label} == {True, False}
    return state, batch


def numpy_loss(u, u_ema, batch, config):
    """Mean loss of a batch in NumPy: the paper's MeanFlow with guidance, derivatives by central differences."""
    h, null, losses = 1e-5, 10, []
    for rows, is_pair in ((batch.pairs, True), (batch.equal, False)):
        for x0, eps, r, t, _, label in zip(*(np.asarray(leaf) for leaf in rows), strict=True):
            x, v = (1 - t) * x0 + t * eps, eps - x0
            omega, kappa = config.guidance, config.guidance_mix
            if label != null:
                v = omega * v + (1 - omega - kappa) * u(x, t, t, null) + kappa * u(x, t, t, label)
            residual = u(x, r, t, label) - v
            if is_pair:
                tangent = v + config.beta * (u_ema(x, t, t, label) - v)
                ahead, behind = (u(x + s * tangent, r, t + s, label) for s in (h, -h))
                residual = residual + (t - r) * (ahead - behind) / (2 * h)
            square = residual @ residual
            losses.append(square / (square + config.adaptive_constant) ** config.adaptive_power)
    return np.mean(losses)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [DIT, MLP], ids=["dit", "mlp"])
def test_the_loss_of_a_batch_against_numpy(settings, x64):
    config = BASE.replace(**settings, **GUIDED, batch_size=8, p_equal=0.5)
    experiment = build_experiment(config)
    net = flat_net(experiment.net)
    state, batch = state_and_batch(experiment, jnp.float64)

    @jax.jit
    def evaluate(params, x, r, t, label):
        return net.bind(params)(x, r, t, label)

    def function(params):
        return lambda x, r, t, label: np.asarray(evaluate(params, x, jnp.asarray(r), jnp.asarray(t), label))

    loss = jax.jit(lambda experiment: batch_loss(experiment, net.bind(state.params), state, batch))
    for beta in (0.0, 0.5, 1.0):
        expected = numpy_loss(
            function(state.params), function(state.params_ema), batch, config.replace(beta=beta)
        )
        found = loss(build_experiment(config.replace(beta=beta)))
        assert float(found) == pytest.approx(float(expected), rel=1e-7)
    plain = build_experiment(config.replace(guidance=1.0, guidance_mix=0.0))
    assert float(loss(plain)) != pytest.approx(float(expected), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("guided", [{}, GUIDED], ids=["plain", "guided"])
def test_rows_without_derivative_lose_nothing(guided):
    """Loss and gradient of the split batch are those of treating every row as a pair, hidden labels included."""
    config = BASE.replace(**DIT, **guided)
    step = jax.jit(loss_and_gradient)
    state, batch = state_and_batch(build_experiment(config))
    rows = jax.tree.map(lambda a, b: np.concatenate([a, b]), batch.equal, batch.pairs)
    whole = batch._replace(pairs=rows, equal=jax.tree.map(lambda leaf: leaf[:0], rows))
    for beta in (0.0, 0.5, 1.0):
        split_loss, split = step(build_experiment(config.replace(beta=beta)), state, batch)
        plain_loss, plain = step(build_experiment(config.replace(beta=beta, p_equal=0.0)), state, whole)
        assert float(split_loss) == pytest.approx(float(plain_loss), rel=1e-6)
        assert np.linalg.norm(split - plain) < 1e-5 * np.linalg.norm(plain)


def example_of(label=3):
    x0, eps = jax.random.normal(jax.random.key(0), (2, 4))
    return Example(x0, eps, jnp.array(0.2), jnp.array(0.7), jnp.zeros(0), jnp.array(label))


def test_a_pair_with_another_velocity_passes_through_the_same_point():
    example, velocity = example_of(), jnp.arange(4.0)
    moved = example.with_velocity(velocity)
    np.testing.assert_allclose(moved.x_t, example.x_t, atol=1e-6)
    np.testing.assert_allclose(moved.v_cond, velocity, atol=1e-6)


def test_the_net_that_has_learned_the_target_is_guided_by_omega_over_one_minus_kappa():
    """v_class = v_g at the fixed point: v + (omega / (1 - kappa) - 1) (v - v_all), v the velocity of the class."""
    example, v_all, guidance = example_of(), jnp.ones(4), Guidance(1.5, 0.4)
    v_class = example.v_cond + (1.5 / 0.6 - 1) * (example.v_cond - v_all)
    np.testing.assert_allclose(guidance(example, 10, v_all, v_class).v_cond, v_class, atol=1e-5)
    np.testing.assert_allclose(guidance(example_of(10), 10, v_all, v_class).v_cond, example.v_cond, atol=1e-6)


def test_at_beta_one_the_tangent_does_not_know_the_noise():
    """Another pair through the same x_t changes the residual by the target alone."""

    def net(x, r, t):
        return jnp.sin(x[::-1] * t) + r * x**2

    method, example, other = methods.create("meanflow"), example_of(), jnp.arange(4.0)
    moved = example.with_velocity(other)

    def change(beta):
        found = [method.residual(one, Context(net, net), jnp.array(beta)) for one in (moved, example)]
        return found[0] - found[1] + other - example.v_cond

    np.testing.assert_allclose(change(1.0), 0, atol=1e-5)
    assert np.abs(change(0.5)).max() > 0.05


def test_nets_of_a_context_are_bound_to_the_class():
    def net(x, r, t, label=None):
        return x * label

    context = Context(net, net, net_teacher=net).of_class(jnp.array(3))
    assert isinstance(context.net, OfClass)
    for bound in (context.net, context.net_ema, context.net_teacher):
        np.testing.assert_array_equal(bound(jnp.ones(2), jnp.array(0.0), jnp.array(0.0)), [3, 3])
    assert Context(net, net).of_class(None).net is net


@pytest.mark.slow
@pytest.mark.parametrize("settings", [DIT, MLP], ids=["dit", "mlp"])
def test_one_engine_trains_both_and_stops_and_goes_on_without_a_trace(settings):
    experiment = build_experiment(BASE.replace(**settings, **GUIDED))
    unbroken, broken = Ensemble([experiment]), Ensemble([experiment])
    unbroken.advance(4)
    broken.advance(1)
    resumed = Ensemble([experiment], broken.states())
    resumed.advance(3)
    jax.tree.map(np.testing.assert_array_equal, unbroken.states(), resumed.states())
    start = jax.jit(init_state)(experiment).params
    assert np.abs(unbroken.states()[0].params - start).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dataset": "two_moons", "guidance": 2.0, "label_dropout": 0.0}, "'two_moons' has no classes"),
        ({"dataset": "two_moons"}, "'two_moons' has no classes"),
        (
            {"proxy": "oracle", "guidance": 2.0},
            "proxy 'oracle' estimates the velocity without guidance",
        ),
        (
            {"net": "dit", "width": 64},
            "net 'dit' does not use width; its net_options are .*patch, remat, size",
        ),
        ({"net": "cnn"}, "unknown net 'cnn'; choices: dit, mlp"),
        ({"net_options": {"width": 3}}, "net_options cannot hold width"),
        ({"dataset": "two_moons", "label_dropout": 0.0, "net": "dit"}, "takes images, not points of 2"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        build_experiment(BASE.replace(**settings))
