"""One training step: its batch, its gradient, its learning rate, and when it is divergence."""

import jax
import numpy as np
import pytest
import scipy.stats
from tiny import TINY

from toylab.devices import parallel
from toylab.training import Trainer
from toylab.training.experiment import build_experiment
from toylab.training.objective import draw_batch, loss_and_gradient
from toylab.training.state import init_state, lane_keys
from toylab.training.step import BLOWN_UP, train_step

STEP = jax.jit(train_step)
"""Compiled once: operation by operation each of hundreds would be compiled on its own."""


@pytest.mark.slow
def test_equal_rows_take_no_derivative_and_no_proxy():
    """Work, counted by the compiler: more rows with r = t cost less, down to plain flow matching."""

    def flops(p_equal, method="meanflow"):
        experiment = build_experiment(TINY.replace(p_equal=p_equal, batch_size=64, method=method, width=64))
        state = jax.eval_shape(init_state, experiment)

        def gradient(experiment, state, key):
            return loss_and_gradient(experiment, state, draw_batch(experiment, key))

        lowered = jax.jit(gradient).lower(experiment, state, jax.random.key(0))
        return lowered.compile().cost_analysis()["flops"]

    all_equal, half, none = flops(1.0), flops(0.5), flops(0.0)
    assert all_equal == pytest.approx(flops(0.3, "flow_matching"), rel=0.02)
    # Forward, backward, tangent and proxy against forward and backward: 5/3 of the work.
    assert 1.45 < none / all_equal < 1.9
    assert half == pytest.approx((all_equal + none) / 2, rel=0.05)


def test_split_batch_gradient_equals_that_of_treating_every_row_as_a_pair():
    experiment = build_experiment(TINY)
    params = init_state(experiment).params + 0.1
    state = init_state(experiment)._replace(params=params, params_ema=params)
    batch = draw_batch(experiment, jax.random.key(1))
    rows = jax.tree.map(lambda a, b: np.concatenate([a, b]), batch.equal, batch.pairs)
    whole = build_experiment(TINY.replace(p_equal=0.0))
    merged = batch._replace(pairs=rows, equal=jax.tree.map(lambda leaf: leaf[:0], rows))
    gradient = jax.jit(loss_and_gradient)
    _, split = gradient(experiment, state, batch)
    _, plain = gradient(whole, state, merged)
    np.testing.assert_allclose(split, plain, rtol=1e-4, atol=1e-6)


def test_a_non_finite_gradient_changes_nothing_but_the_mark():
    experiment = build_experiment(TINY)
    state = init_state(experiment)
    broken = state._replace(params=state.params.at[0].set(np.nan))
    after = STEP(experiment, broken, jax.random.key(0))
    assert int(after.diverged_at) == 0
    np.testing.assert_array_equal(after.params, broken.params)
    assert int(after.step) == int(broken.step)


@pytest.mark.parametrize(
    ("value", "finite"), [(np.nan, False), (np.inf, False), (-np.inf, False), (3e38, True)]
)
def test_finiteness_is_read_off_the_bits(value, finite):
    assert bool(parallel.is_finite(np.asarray([value], np.float32))) is finite


@pytest.mark.parametrize("name", ["two_moons", "checkerboard", "two_gaussians"])
def test_the_zero_nets_loss_is_its_expectation(name):
    experiment = build_experiment(TINY.replace(dataset=name, batch_size=4096, p_equal=0.0))
    pairs = draw_batch(experiment, jax.random.key(0)).pairs
    losses = np.sum(np.asarray(pairs.eps - pairs.x0) ** 2, axis=1)
    stderr = np.std(losses) / np.sqrt(len(losses))
    assert abs(losses.mean() - experiment.zero_loss) < 4 * stderr


@pytest.mark.parametrize(("factor", "diverged"), [(0.5, False), (2.0, True)])
def test_a_loss_far_above_that_of_the_zero_net_is_divergence(factor, diverged):
    experiment = build_experiment(TINY.replace(p_equal=1.0))
    state = init_state(experiment)
    # A net that says a constant c has the loss zero_loss + |c|^2 (data and noise are centred).
    size = np.sqrt(factor * BLOWN_UP * experiment.zero_loss / 2)
    params = state.params.at[-2:].set(size)
    after = STEP(experiment, state._replace(params=params), jax.random.key(0))
    assert (int(after.diverged_at) == 0) is diverged
    assert np.array_equal(after.params, params) is diverged


def test_methods_without_pairs_train_on_single_times():
    """Flow matching on uniform times: the larger of two draws would be biased towards noise."""
    batch = draw_batch(
        build_experiment(TINY.replace(method="flow_matching", batch_size=4096)), jax.random.key(0)
    )
    assert batch.pairs.t.size == 0
    assert scipy.stats.kstest(np.asarray(batch.equal.t), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(batch.equal.r, batch.equal.t)


def test_lanes_of_one_seed_share_data_noise_and_times():
    first, second = (build_experiment(TINY.replace(beta=beta)) for beta in (0.0, 1.0))
    jax.tree.map(
        np.testing.assert_array_equal,
        draw_batch(first, lane_keys(first)[1]),
        draw_batch(second, lane_keys(second)[1]),
    )
    other = build_experiment(TINY.replace(seed=1))
    assert not np.array_equal(
        draw_batch(first, lane_keys(first)[1]).pairs.x0, draw_batch(other, lane_keys(other)[1]).pairs.x0
    )


@pytest.mark.parametrize("max_gap", [1.0, 0.5, 0.1])
def test_times_are_ordered_and_gaps_limited(max_gap):
    experiment = build_experiment(TINY.replace(max_gap=max_gap, batch_size=512, p_equal=0.25))
    batch = draw_batch(experiment, jax.random.key(2))
    assert batch.equal.t.shape == (128,)
    np.testing.assert_array_equal(batch.equal.r, batch.equal.t)
    gap = np.asarray(batch.pairs.t - batch.pairs.r)
    assert np.all(gap >= 0)
    assert np.all(gap <= max_gap + 1e-6)
    assert gap.max() > 0.8 * max_gap


@pytest.mark.slow
def test_cosine_schedule_and_clipping():
    trainer = Trainer([TINY.replace(learning_rate=1e-2)])
    while not trainer.done:
        trainer.advance(100)
    rates = trainer.history(0)["learning_rate"].to_numpy()
    expected = 1e-2 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * np.array([1 / 3, 2 / 3, 1.0]))))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    # Without momentum yet, the first step of SGD is the clipped gradient itself.
    experiment = build_experiment(
        TINY.replace(optimizer="sgd", learning_rate=1.0, lr_schedule="constant", grad_clip=0.1)
    )
    state = init_state(experiment)
    after = STEP(experiment, state, jax.random.key(0))
    assert float(np.linalg.norm(after.params - state.params)) == pytest.approx(0.1, rel=1e-3)
