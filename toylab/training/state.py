"""State of a lane: everything that training changes, its initial value, and the keys of its random numbers."""

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
"""AdamW weight decay."""
MOMENTUM = 0.9
"""SGD momentum."""


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
    """Sums since the last row of the history: in the state, so that a resumed run records the same rows."""

    loss: Scalar
    grad_norm: Scalar


class TrainState(NamedTuple):
    """Everything that training changes: arrays only."""

    params: Params
    params_ema: Params
    opt_state: optax.OptState
    step: Count
    diverged_at: Count
    """The step at which the lane diverged (see `train_step`), or -1; everything else is the state before that step."""
    window: Window
    params_teacher: Params | None
    """Parameters of the method's teacher, if it has one; in the first stage of a two-stage method the initial ones."""
    pairs: Pairs | None
    """Pairs made by the teacher, if the method needs them; zero before they are made."""
    memory: Memory
    """Memory of the coefficient rule."""


class LaneKeys(NamedTuple):
    """Random keys of one lane, all from its seed: each use has its own, so that none depends on another's draws."""

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
    # The last key by fold_in: it came later, and a split into more keys may change all of them, thus every stored run.
    *others, _ = LaneKeys._fields
    return LaneKeys(*[*jax.random.split(key, len(others)), jax.random.fold_in(key, len(others))])


def progress_of(steps: Count | int, step: Count) -> Scalar:
    """Share of training done, in [0, 1]."""
    # float32 whatever x64 says: the schedules and the border between stages depend on its last bits.
    return jnp.minimum(step / steps, 1.0).astype(jnp.float32)


def in_second_stage(method: AbstractTwoStageMethod, steps: Count | int, step: Count) -> Flag:
    """Whether the state after ``step`` steps has its teacher and trains on the teacher's targets."""
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
