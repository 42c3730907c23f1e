"""What training changes, and its first value."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from toylab.coefficients import Memory
from toylab.methods import AbstractTwoStageMethod
from toylab.nets import flat_net
from toylab.nets.flat import Params
from toylab.training.experiment import Experiment
from toylab.types import Count, Flag, Pairs, PRNGKey, Scalar

WEIGHT_DECAY = 1e-2
"""Of AdamW."""
MOMENTUM = 0.9
"""Of SGD."""


def optimizer_of(experiment: Experiment) -> optax.GradientTransformation:
    """The update rule, before the learning rate."""
    match experiment.optimizer:
        case "adam":
            return optax.scale_by_adam(b2=experiment.adam_beta2)
        case "adamw":
            return optax.chain(
                optax.scale_by_adam(b2=experiment.adam_beta2), optax.add_decayed_weights(WEIGHT_DECAY)
            )
        case _:
            return optax.trace(decay=MOMENTUM)


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
    """The step at which the lane diverged (see `train_step`), or -1. It stands still in the state before it."""
    window: Window
    params_teacher: Params | None
    """The method's second copy of the net, if it has one; of a two-stage method the initial net before it is made."""
    pairs: Pairs | None
    """Pairs made by the teacher, if the method asks for some; zero before they are made."""
    memory: Memory
    """What the coefficient rule remembers."""


class LaneKeys(NamedTuple):
    """Keys of one lane, all from its seed."""

    init: PRNGKey
    """The initial parameters."""
    batches: PRNGKey
    diagnostics: PRNGKey
    pairs: PRNGKey
    """Pairs made by a teacher."""
    data: PRNGKey
    """The order of finite data."""


def lane_keys(experiment: Experiment) -> LaneKeys:
    """The keys of a lane."""
    key = jax.random.key(experiment.seed)
    *others, _ = LaneKeys._fields
    return LaneKeys(*[*jax.random.split(key, len(others)), jax.random.fold_in(key, len(others))])


def progress_of(steps: Count | int, step: Count) -> Scalar:
    """Share of training done, in [0, 1]."""
    return jnp.minimum(step / steps, 1.0).astype(jnp.float32)


def in_second_stage(method: AbstractTwoStageMethod, steps: Count | int, step: Count) -> Flag:
    """Whether the state after ``step`` steps has its teacher and trains on what the teacher made."""
    return progress_of(steps, step) >= method.first_stage


def init_state(experiment: Experiment) -> TrainState:
    """The state before the first step; the moving averages start at the initial parameters."""
    method = experiment.method
    params = flat_net(experiment.net).init(lane_keys(experiment).init)
    zero = jnp.zeros((), params.dtype)
    num_pairs = method.num_pairs if isinstance(method, AbstractTwoStageMethod) else 0
    has_teacher = isinstance(method, AbstractTwoStageMethod) or method.teacher_decay is not None
    return TrainState(
        params=params,
        params_ema=params,
        opt_state=optimizer_of(experiment).init(params),
        step=jnp.zeros((), jnp.int32),
        diverged_at=jnp.full((), -1, jnp.int32),
        window=Window(zero, zero),
        params_teacher=params if has_teacher else None,
        pairs=jnp.zeros((num_pairs, 2, experiment.net.dim), params.dtype) if num_pairs else None,
        memory=experiment.coefficient.init_memory(),
    )
