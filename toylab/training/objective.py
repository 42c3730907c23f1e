"""Loss of a batch and its gradient: the only place where losses of single examples are batched.

Rows with r = t (plain flow matching: no JVP, no tangent proxy) are computed apart from the rest, so that they cost what
flow matching costs. Their number is fixed, num_equal of batch_size.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toylab.coefficients import Observations, Situation
from toylab.data import Place
from toylab.methods import AbstractTwoStageMethod, Beta, Context, Example
from toylab.methods.meanflow import MeanFlow
from toylab.nets import flat_net
from toylab.nets.flat import Gradients, Params
from toylab.times import limit_gap
from toylab.training.experiment import Experiment
from toylab.training.state import TrainState, in_second_stage, lane_keys, progress_of
from toylab.types import Count, Matrix, Points, PRNGKey, Scalar, VelocityNet


class Batch(NamedTuple):
    """Examples with r < t, examples with r = t (leading axes of their own), and shared reference points."""

    pairs: Example
    equal: Example
    reference: Points | None


class BatchKeys(NamedTuple):
    """Keys of one batch, each used once."""

    data: PRNGKey
    eps: PRNGKey
    times: PRNGKey
    uniforms: PRNGKey
    reference: PRNGKey
    hidden: PRNGKey
    """Of label dropout."""


def draw_batch(experiment: Experiment, key: PRNGKey, step: Count | None = None) -> Batch:
    """A batch of data, noise and times: fresh ones, a function of ``key`` alone; finite data are those of ``step``."""
    return _stratified(experiment, key, experiment.batch_size, experiment.num_equal, step)


def draw_pairs(experiment: Experiment, key: PRNGKey, size: int) -> Batch:
    """A batch of ``size`` rows with r < t and none with r = t."""
    return _stratified(experiment, key, size, 0)


def _stratified(
    experiment: Experiment, key: PRNGKey, size: int, num_equal: int, step: Count | None = None
) -> Batch:
    rows = draw_examples(experiment, key, size, step)
    # Rows are independent, so the first ones are as good as any, and r = t makes flow matching rows of them.
    equal = jax.tree.map(lambda leaf: leaf[:num_equal], rows._replace(r=rows.t))
    pairs = jax.tree.map(lambda leaf: leaf[num_equal:], rows)
    reference = None
    if num_reference := experiment.method.num_reference:
        # Fresh points: among those of the rows is each example's own x0, which a proxy adds itself.
        reference = experiment.dataset.draw(_batch_keys(key).reference, num_reference)
    return Batch(pairs, equal, reference)


def draw_examples(experiment: Experiment, key: PRNGKey, size: int, step: Count | None = None) -> Example:
    """``size`` rows with r < t; finite data are those of ``step`` in the order of the run."""
    keys = _batch_keys(key)
    place = None if step is None else Place(lane_keys(experiment).data, step)
    x0, labels = experiment.dataset.draw_labelled(keys.data, size, place)
    if labels is not None:
        # Label dropout: label num_classes stands for no class, and trains the unconditional velocity.
        hidden = jax.random.bernoulli(keys.hidden, experiment.label_dropout, (size,))
        labels = jnp.where(hidden, experiment.net.num_classes, labels)
    eps = jax.random.normal(keys.eps, x0.shape, x0.dtype)
    if experiment.method.uses_pairs:
        r, t = experiment.times.draw(keys.times, size)
        r = limit_gap(r, t, jnp.asarray(experiment.max_gap, r.dtype))
    else:
        r = t = experiment.times.draw_single(keys.times, size)
    uniforms = jax.random.uniform(keys.uniforms, (size, experiment.method.num_uniforms))
    return Example(x0, eps, r, t, uniforms, labels)


def context_of(experiment: Experiment, net: VelocityNet, state: TrainState, batch: Batch) -> Context:
    """Everything that losses and proxies may use besides the example, with ``net`` as the trained net."""
    bind = flat_net(experiment.net).bind
    return Context(
        net=net,
        net_ema=bind(state.params_ema),
        dataset=experiment.dataset,
        reference=batch.reference,
        net_teacher=None if state.params_teacher is None else bind(state.params_teacher),
        pairs=state.pairs,
        progress=progress_of(experiment.steps, state.step),
    )


def beta_of(experiment: Experiment, state: TrainState, example: Example, context: Context) -> Beta:
    """The coefficient beta at one example, without gradient."""
    x_t, r, t = example.x_t, example.r, example.t

    def gap_jacobian() -> Matrix:
        return (t - r) * jax.jacfwd(lambda x: context.net(x, r, t))(x_t)

    def covariance() -> Matrix:
        return experiment.dataset.velocity_moments(x_t, t)[1]

    progress = jnp.asarray(context.progress, t.dtype)
    # Functions, not values: dim + 1 passes of the net, and moments of the data, for the rules that use them alone.
    situation = Situation(progress, r, t, state.memory, gap_jacobian, covariance)
    # A coefficient weighs velocities and is no part of the objective: through the Jacobian it would train the net.
    return jax.lax.stop_gradient(experiment.coefficient(situation))


def batch_loss(
    experiment: Experiment, net: VelocityNet, state: TrainState, batch: Batch, first_stage: bool = False
) -> Scalar:
    """Mean loss of ``net`` over the rows of a batch, at the state's moving average, memory and progress.

    Gradients flow through ``net`` alone.

    Args:
        experiment: settings.
        net: the trained net.
        state: everything else that the loss depends on.
        batch: rows.
        first_stage: the loss of the first stage of a two-stage method.
    """
    context, method = context_of(experiment, net, state, batch), experiment.method
    num_classes = experiment.net.num_classes
    loss, couple = method.pair_loss, _as_it_comes
    if isinstance(method, AbstractTwoStageMethod):
        if first_stage:
            loss = method.teacher_loss
        else:
            couple = method.coupled

    def pair_loss(example: Example) -> Scalar:
        example, own = guided_pair(experiment, example, context, couple)
        return loss(example, own, beta_of(experiment, state, example, own))

    def equal_loss(example: Example) -> Scalar:
        own = context.of_class(example.label)
        example = couple(example, own)
        if (guidance := experiment.guidance) is not None:
            x_t, t = example.x_t, example.t
            # The loss of a row r = t evaluates the net of its class at (x_t, t, t) too: one pass serves both.
            velocity = own.net(x_t, t, t)
            own = own._replace(velocity=velocity)
            example = guidance(example, num_classes, context.net(x_t, t, t), velocity)
        return method.equal_loss(example, own)

    # Both sums over the whole batch size: (sum of pairs + sum of equal rows) / batch_size, as if rows were not split.
    # A kind of row that the batch lacks is left out, since a sum over no rows would still be traced and compiled.
    total = jnp.zeros((), batch.pairs.x0.dtype)
    if experiment.num_equal < experiment.batch_size:
        total += jnp.sum(jax.vmap(pair_loss)(batch.pairs))
    if experiment.num_equal > 0:
        total += jnp.sum(jax.vmap(equal_loss)(batch.equal))
    return total / experiment.batch_size


def _as_it_comes(example: Example, context: Context) -> Example:
    return example


def guided_pair(
    experiment: Experiment,
    example: Example,
    context: Context,
    couple: Callable[[Example, Context], Example] = _as_it_comes,
) -> tuple[Example, Context]:
    """A row with r < t as its method's loss takes it: coupled, guided, and with a context of its class."""
    own = context.of_class(example.label)
    example = couple(example, own)
    if experiment.guidance is not None:
        x_t, t = example.x_t, example.t
        v_all, v_class = context.net(x_t, t, t), own.net(x_t, t, t)
        example = experiment.guidance(example, experiment.net.num_classes, v_all, v_class)
    return example, own


def loss_and_gradient(
    experiment: Experiment, state: TrainState, batch: Batch, first_stage: bool | None = None
) -> tuple[Scalar, Params]:
    """The loss of a batch and its gradient in the state's parameters: what the optimiser sees.

    Args:
        experiment: settings.
        state: the net's parameters, and everything else that the loss depends on.
        batch: rows.
        first_stage: of a two-stage method, the loss of the first or of the second stage; None takes the stage that
            the state is in.
    """
    if first_stage is None and isinstance(method := experiment.method, AbstractTwoStageMethod):
        in_stage = partial(loss_and_gradient, experiment, state, batch)
        second = in_second_stage(method, experiment.steps, state.step)
        return jax.lax.cond(second, partial(in_stage, False), partial(in_stage, True))
    net = flat_net(experiment.net)
    # In the layers' arrays, then joined: the transpose of cutting the vector into them is slow (see `FlatNet`).
    value_and_gradient = jax.value_and_grad(batch_loss, argnums=1)
    value, gradient = value_and_gradient(experiment, net.bind(state.params), state, batch, bool(first_stage))
    return value, net.join(jax.tree.leaves(gradient))


def observe(experiment: Experiment, state: TrainState, batch: Batch) -> Observations:
    """Observations of a batch, for a rule that estimates beta: R(0) . A w and |A w|^2 of the first rows with r < t.

    R(beta) = R(0) + beta A w is the residual of MeanFlow; |R(beta)|^2 is least at beta = -R(0) . A w / |A w|^2.
    """
    method, coefficient = experiment.method, experiment.coefficient
    assert isinstance(method, MeanFlow)
    count = max(1, round(coefficient.observed_share * (experiment.batch_size - experiment.num_equal)))
    rows = jax.tree.map(lambda leaf: leaf[:count], batch.pairs)
    context = context_of(experiment, flat_net(experiment.net).bind(state.params), state, batch)

    def products(example: Example) -> tuple[Scalar, Scalar]:
        residual, slope = method.observe(example, context.of_class(example.label))
        return residual @ slope, slope @ slope

    return Observations(rows.r, rows.t, *jax.vmap(products)(rows))


def replica_gradients(experiment: Experiment, state: TrainState, keys: PRNGKey) -> Gradients:
    """Gradients of independent batches at a fixed state, one row for each of ``keys``."""
    # One batch after the other: all at once would need the activations of all.
    return jax.lax.map(lambda key: loss_and_gradient(experiment, state, draw_batch(experiment, key))[1], keys)


def covariance_trace(gradients: Gradients) -> Scalar:
    """Unbiased Tr Cov of a sample of K gradients (rows), sum_k |g_k - mean|^2 / (K - 1): the only estimator in use."""
    return jnp.sum((gradients - jnp.mean(gradients, axis=0)) ** 2) / (gradients.shape[0] - 1)


def _batch_keys(key: PRNGKey) -> BatchKeys:
    # The last key by fold_in: it came later, and a split into more keys may change all of them, thus every stored run.
    *others, _ = BatchKeys._fields
    return BatchKeys(*[*jax.random.split(key, len(others)), jax.random.fold_in(key, len(others))])
