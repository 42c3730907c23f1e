"""One lane: a training step, the transition between the stages of a two-stage method, and a stretch of steps."""

from functools import partial

import jax
import jax.numpy as jnp

from toylab.devices.parallel import is_finite, run_if
from toylab.devices.sharding import ALONE, Split
from toylab.methods import AbstractTwoStageMethod, Context
from toylab.nets import flat_net
from toylab.training.experiment import Experiment
from toylab.training.objective import draw_batch, draw_examples, loss_and_gradient, observe
from toylab.training.state import (
    TrainState,
    Window,
    in_second_stage,
    init_state,
    lane_keys,
    optimizer_of,
    progress_of,
)
from toylab.types import Count, PRNGKey, Scalar

FINAL_LEARNING_RATE = 0.01
"""Share of the peak learning rate at the end of the cosine schedule."""

BLOWN_UP = 1e8
"""A lane has diverged where the loss of a batch exceeds this many times that of the zero predictor u = 0. Adam bounds
its update, so it survives such a step, but with a net that has lost what it learned. Measured over 144 runs with Adam:
those whose worst batch stayed below 4e7 came back to about 1 or better, those that passed 1e10 did not, and none lay in
between."""


def learning_rate_of(experiment: Experiment, progress: Scalar) -> Scalar:
    """Learning rate after the share ``progress`` of training."""
    if experiment.lr_schedule == "constant":
        return jnp.asarray(experiment.learning_rate, progress.dtype)
    # eta(s) = eta (f + (1 - f) (1 + cos(pi s)) / 2), from eta at s = 0 to f eta at s = 1.
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * progress))
    return experiment.learning_rate * (FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * cosine)


def train_step(experiment: Experiment, state: TrainState, key: PRNGKey, split: Split = ALONE) -> TrainState:
    """One optimiser step on a fresh batch; where that diverges, the lane is marked and nothing else changes.

    Divergence, everywhere in toylab: a loss or gradient that is not finite, or a loss above ``BLOWN_UP`` times that of
    the zero predictor u = 0. Where devices share the step, each computes its rows of the batch.
    """
    progress = progress_of(experiment.steps, state.step)
    # Every device draws the whole batch and cuts out its rows: the data do not depend on the number of devices.
    batch = draw_batch(experiment, key, state.step)
    seen = gathered(state, split)
    rows = batch._replace(pairs=split.rows(batch.pairs), equal=split.rows(batch.equal))
    loss, gradient = split.summed(*loss_and_gradient(experiment, seen, rows))
    grad_norm = jnp.sqrt(split.squared_norm(gradient))
    # The norm of the whole gradient is not finite where any entry is not: two scalars are checked, not a vector.
    healthy = is_finite(loss) & is_finite(grad_norm) & (loss <= BLOWN_UP * experiment.zero_loss)

    # Clipping by the global norm, g min(1, c / |g|), off at c = 0. 1e-12 keeps c / |g| finite at g = 0, where `where`
    # computes it all the same.
    clip = experiment.grad_clip
    gradient = gradient * jnp.where(clip > 0, jnp.minimum(1.0, clip / jnp.maximum(grad_norm, 1e-12)), 1.0)
    updates, opt_state = optimizer_of(experiment).update(gradient, state.opt_state, state.params)
    params = state.params - learning_rate_of(experiment, progress) * jnp.asarray(updates)
    # ema + (1 - d) (params - ema): equal parameters stay equal to the last bit, unlike d ema + (1 - d) params.
    params_ema = state.params_ema + (1 - experiment.ema_decay) * (params - state.params_ema)
    params_teacher, memory = state.params_teacher, state.memory
    decay = experiment.method.teacher_decay
    if decay is not None and params_teacher is not None:
        params_teacher = params_teacher + (1 - decay) * (params - params_teacher)
    if experiment.coefficient.observed_share:
        # Of the whole batch on every device, so that the rule's memory is the same on all of them.
        memory = experiment.coefficient.remember(memory, observe(experiment, seen, batch))
    updated = state._replace(
        params=params,
        params_ema=params_ema,
        opt_state=opt_state,
        step=state.step + 1,
        window=Window(state.window.loss + loss, state.window.grad_norm + grad_norm),
        params_teacher=params_teacher,
        memory=memory,
    )
    stopped = state._replace(diverged_at=state.step)
    # Leaves that no step changes (pairs, a frozen teacher) are the same object in both: no select is compiled for them.
    return jax.tree.map(
        lambda new, old: new if new is old else jnp.where(healthy, new, old), updated, stopped
    )


def gathered(state: TrainState, split: Split) -> TrainState:
    """The state with whole vectors of parameters, as losses need it."""
    teacher = state.params_teacher
    return state._replace(
        params=split.whole(state.params),
        params_ema=split.whole(state.params_ema),
        params_teacher=None if teacher is None else split.whole(teacher),
    )


def begin_second_stage(experiment: Experiment, state: TrainState) -> TrainState:
    """The moving average becomes the frozen teacher and makes its pairs; the net goes on from it as a fresh start.

    The average began at the initial parameters p_0 and still holds a share s = decay^step of them, 40% after 900 steps
    at 0.999. That share is taken out: p = (ema - s p_0) / (1 - s).
    """
    method = experiment.method
    assert isinstance(method, AbstractTwoStageMethod)
    # p_0 is drawn again from the seed: kept in the state it would be one more copy of the net in every checkpoint.
    initial, share = init_state(experiment).params, experiment.ema_decay**state.step
    # At s = 1 (a decay of 1, or no step) the average is p_0 itself and there is nothing to divide by.
    params = jnp.where(share < 1, (state.params_ema - share * initial) / (1 - share), state.params_ema)
    pairs = state.pairs
    if method.num_pairs:
        bind = flat_net(experiment.net).bind
        context = Context(bind(params), bind(params), experiment.dataset, net_teacher=bind(params))
        fresh = draw_examples(experiment, lane_keys(experiment).pairs, method.num_pairs)
        made = jax.vmap(lambda example: method.make_pair(example, context))(fresh)
        pairs = method.arrange_pairs(jnp.stack(made, axis=1))
    return state._replace(
        params=params,
        params_ema=params,
        params_teacher=params,
        opt_state=optimizer_of(experiment).init(params),
        pairs=pairs,
    )


def train_lane(
    experiment: Experiment, state: TrainState, num_steps: Count, split: Split = ALONE
) -> TrainState:
    """At most ``num_steps`` further steps, fewer where the run ends or diverges.

    The random numbers of a step depend on the seed and its index alone, and the number of steps is traced: neither the
    result nor the compiled program depends on how training is cut into stretches.
    """
    key, method = lane_keys(experiment).batches, experiment.method

    def body(_, state: TrainState) -> TrainState:
        runs = (state.diverged_at < 0) & (state.step < experiment.steps)
        step = partial(train_step, experiment, split=split)
        step_key = jax.random.fold_in(key, state.step)
        updated = jax.lax.cond(runs, step, lambda state, _: state, state, step_key)
        if isinstance(method, AbstractTwoStageMethod):
            # After the step, not before the next one: a state that is read between them has its teacher already.
            enters = in_second_stage(method, experiment.steps, updated.step) & ~in_second_stage(
                method, experiment.steps, state.step
            )
            updated = run_if(enters, partial(begin_second_stage, experiment), updated)
        return updated

    return jax.lax.fori_loop(0, num_steps, body, state)
