"""One lane: its state, its first state, and a stretch of training steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from toylab.nets import flat_net
from toylab.nets.flat import Params
from toylab.parallel import is_finite
from toylab.training.experiment import Experiment
from toylab.training.objective import draw_batch, loss_and_gradient
from toylab.types import Count, PRNGKey, Scalar

OPTIMIZERS = {
    "adam": optax.scale_by_adam(),
    "adamw": optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(1e-2)),
    "sgd": optax.trace(decay=0.9),
}
"""Update rules, before the learning rate."""

FINAL_LEARNING_RATE = 0.01
"""Share of the peak learning rate at the end of the cosine schedule."""


class Window(NamedTuple):
    """Sums since the last row of the history; part of the state, so that a resumed run logs the same rows."""

    loss: Scalar
    grad_norm: Scalar


class TrainState(NamedTuple):
    """Everything that training changes: arrays only."""

    params: Params
    params_ema: Params
    opt_state: optax.OptState
    step: Count
    diverged_at: Count
    """The step whose loss or gradient was not finite, or -1. Such a lane stands still at its last finite state."""
    window: Window


def lane_keys(experiment: Experiment) -> tuple[PRNGKey, PRNGKey, PRNGKey]:
    """Keys of the initial parameters, of the training batches and of diagnostics, all from the seed."""
    init, batches, diagnostics = jax.random.split(jax.random.key(experiment.seed), 3)
    return init, batches, diagnostics


def init_state(experiment: Experiment) -> TrainState:
    """The state before the first step; the moving average starts at the initial parameters."""
    params = flat_net(experiment.net).init(lane_keys(experiment)[0])
    zero = jnp.zeros((), params.dtype)
    return TrainState(
        params=params,
        params_ema=params,
        opt_state=OPTIMIZERS[experiment.optimizer].init(params),
        step=jnp.zeros((), jnp.int32),
        diverged_at=jnp.full((), -1, jnp.int32),
        window=Window(zero, zero),
    )


def progress_of(experiment: Experiment, step: Count) -> Scalar:
    """Share of training done, in [0, 1]."""
    return jnp.minimum(step / experiment.steps, 1.0).astype(jnp.float32)


def learning_rate_of(experiment: Experiment, progress: Scalar) -> Scalar:
    """Learning rate after the share ``progress`` of training."""
    if experiment.lr_schedule == "constant":
        return jnp.asarray(experiment.learning_rate, progress.dtype)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * progress))
    return experiment.learning_rate * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)


def train_step(experiment: Experiment, state: TrainState, key: PRNGKey) -> TrainState:
    """One optimiser step on a fresh batch; a non-finite loss or gradient marks the lane and changes nothing else."""
    progress = progress_of(experiment, state.step)
    batch = draw_batch(experiment, key)
    loss, gradient = loss_and_gradient(experiment, state.params, state.params_ema, batch, progress)
    # A dot product, which a CPU vectorises; it may not reorder a plain sum.
    grad_norm = jnp.sqrt(jnp.vdot(gradient, gradient))
    healthy = is_finite(loss) & is_finite(grad_norm)

    clip = experiment.grad_clip
    gradient = gradient * jnp.where(clip > 0, jnp.minimum(1.0, clip / jnp.maximum(grad_norm, 1e-12)), 1.0)
    updates, opt_state = OPTIMIZERS[experiment.optimizer].update(gradient, state.opt_state, state.params)
    params = state.params - learning_rate_of(experiment, progress) * updates
    params_ema = state.params_ema + (1 - experiment.ema_decay) * (params - state.params_ema)
    updated = TrainState(
        params=params,
        params_ema=params_ema,
        opt_state=opt_state,
        step=state.step + 1,
        diverged_at=state.diverged_at,
        window=Window(state.window.loss + loss, state.window.grad_norm + grad_norm),
    )
    stopped = state._replace(diverged_at=state.step)
    return jax.tree.map(lambda new, old: jnp.where(healthy, new, old), updated, stopped)


def train_lane(experiment: Experiment, state: TrainState, num_steps: Count) -> TrainState:
    """At most ``num_steps`` further steps, fewer where the run ends or diverges.

    The random numbers of a step depend on the seed and its index alone, and the number of steps is traced: neither the
    result nor the compiled program depends on how training is cut into stretches.
    """
    key = lane_keys(experiment)[1]

    def body(_, state: TrainState) -> TrainState:
        runs = (state.diverged_at < 0) & (state.step < experiment.steps)
        return jax.lax.cond(
            runs,
            lambda: train_step(experiment, state, jax.random.fold_in(key, state.step)),
            lambda: state,
        )

    return jax.lax.fori_loop(0, num_steps, body, state)
