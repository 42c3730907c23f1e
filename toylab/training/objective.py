"""The loss of a batch: the one place where examples become rows.

Rows with r = t (plain flow matching: no JVP, no tangent proxy) stand apart from the rest, so that their cost is that of
flow matching. Their number is fixed, num_equal of batch_size.
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
from toylab.nets.flat import Gradients, Params, Parts
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
    """Which classes are hidden."""


def draw_batch(experiment: Experiment, key: PRNGKey, step: Count | None = None) -> Batch:
    """A batch of fresh data, noise and times, a function of ``key`` alone; of finite data, that of ``step``."""
    return _stratified(experiment, key, experiment.batch_size, experiment.num_equal, step)


def draw_pairs(experiment: Experiment, key: PRNGKey, size: int) -> Batch:
    """A batch of ``size`` rows with r < t and none with r = t."""
    return _stratified(experiment, key, size, 0)


def _stratified(
    experiment: Experiment, key: PRNGKey, size: int, num_equal: int, step: Count | None = None
) -> Batch:
    rows = draw_examples(experiment, key, size, step)
    equal = jax.tree.map(lambda leaf: leaf[:num_equal], rows._replace(r=rows.t))
    pairs = jax.tree.map(lambda leaf: leaf[num_equal:], rows)
    reference = None
    if num_reference := experiment.method.num_reference:
        reference = experiment.dataset.draw(_batch_keys(key).reference, num_reference)
    return Batch(pairs, equal, reference)


def draw_examples(experiment: Experiment, key: PRNGKey, size: int, step: Count | None = None) -> Example:
    """``size`` rows with r < t; of the data those of ``step`` in the order of the run, if they have one."""
    keys = _batch_keys(key)
    place = None if step is None else Place(lane_keys(experiment).data, step)
    x0, labels = experiment.dataset.draw_labelled(keys.data, size, place)
    if labels is not None:
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
    """What the losses of a batch may look at, with ``net`` as the trained net."""
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
    """The coefficient at one example."""
    x_t, r, t = example.x_t, example.r, example.t

    def gap_jacobian() -> Matrix:
        return (t - r) * jax.jacfwd(lambda x: context.net(x, r, t))(x_t)

    def covariance() -> Matrix:
        return experiment.dataset.velocity_moments(x_t, t)[1]

    progress = jnp.asarray(context.progress, t.dtype)
    situation = Situation(progress, r, t, state.memory, gap_jacobian, covariance)
    return jax.lax.stop_gradient(experiment.coefficient(situation))


def batch_loss(
    experiment: Experiment, net: VelocityNet, state: TrainState, batch: Batch, first_stage: bool = False
) -> Scalar:
    """Mean loss of ``net`` over the rows of a batch, at the state's moving average, memory and progress.

    Args:
        experiment: settings.
        net: the trained net.
        state: everything else that the loss looks at.
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
            # The class velocity of a row r = t is what its loss asks of the net anyway.
            velocity = own.net(x_t, t, t)
            own = own._replace(velocity=velocity)
            example = guidance(example, num_classes, context.net(x_t, t, t), velocity)
        return method.equal_loss(example, own)

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
    """A row with r < t as its method sees it: coupled, guided, and with nets of its class."""
    own = context.of_class(example.label)
    example = couple(example, own)
    if experiment.guidance is not None:
        x_t, t = example.x_t, example.t
        v_all, v_class = context.net(x_t, t, t), own.net(x_t, t, t)
        example = experiment.guidance(example, experiment.net.num_classes, v_all, v_class)
    return example, own


def loss_and_gradient(experiment: Experiment, state: TrainState, batch: Batch) -> tuple[Scalar, Params]:
    """The loss of a batch and its gradient in the state's parameters: what the optimiser sees."""
    main = partial(value_and_gradient, experiment, state, batch)
    method = experiment.method
    if not isinstance(method, AbstractTwoStageMethod):
        return main()
    first = partial(main, first_stage=True)
    return jax.lax.cond(in_second_stage(method, experiment.steps, state.step), main, first)


def value_and_gradient(
    experiment: Experiment, state: TrainState, batch: Batch, first_stage: bool = False
) -> tuple[Scalar, Params]:
    """One stage's loss of a batch and its gradient; the parts of the net are differentiated, then joined."""
    net = flat_net(experiment.net)

    def loss(parts: Parts) -> Scalar:
        return batch_loss(experiment, net.assemble(parts), state, batch, first_stage)

    value, gradients = jax.value_and_grad(loss)(net.split(state.params))
    return value, net.join(gradients)


def observe(experiment: Experiment, state: TrainState, batch: Batch) -> Observations:
    """What a rule that estimates beta sees of a batch: its first rows with r < t."""
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
    return jax.lax.map(lambda key: loss_and_gradient(experiment, state, draw_batch(experiment, key))[1], keys)


def covariance_trace(gradients: Gradients) -> Scalar:
    """Tr Cov of a sample of gradients (rows), unbiased: sum_k |g_k - mean|^2 / (K - 1); the one estimator of it."""
    return jnp.sum((gradients - jnp.mean(gradients, axis=0)) ** 2) / (gradients.shape[0] - 1)


def _batch_keys(key: PRNGKey) -> BatchKeys:
    # One by one: the keys of a split may depend on how many there are.
    *others, _ = BatchKeys._fields
    return BatchKeys(*[*jax.random.split(key, len(others)), jax.random.fold_in(key, len(others))])
