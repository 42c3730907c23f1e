"""The loss of a batch: the one place where examples become rows.

Rows with r = t (plain flow matching: no JVP, no tangent proxy) stand apart from the rest, so that their cost is that of
flow matching. Their number is fixed, num_equal of batch_size.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from toylab.methods import Example
from toylab.nets import flat_net
from toylab.nets.flat import Gradients, Params, Parts
from toylab.proxies import ProxyInputs
from toylab.times import limit_gap
from toylab.training.experiment import Experiment
from toylab.types import Points, PRNGKey, Scalar, VelocityNet


class Batch(NamedTuple):
    """Examples with r < t, examples with r = t (leading axes of their own), and shared reference points."""

    pairs: Example
    equal: Example
    reference: Points | None


def draw_batch(experiment: Experiment, key: PRNGKey) -> Batch:
    """A batch of fresh data, noise and times, a function of ``key`` alone."""
    key_data, key_eps, key_times, key_uniforms, key_reference = jax.random.split(key, 5)
    size, num_equal, method = experiment.batch_size, experiment.num_equal, experiment.method
    x0 = experiment.dataset.draw(key_data, size)
    eps = jax.random.normal(key_eps, x0.shape, x0.dtype)
    r, t = experiment.times.draw(key_times, size)
    r = limit_gap(r, t, jnp.asarray(experiment.max_gap, r.dtype))
    uniforms = jax.random.uniform(key_uniforms, (size, method.num_uniforms))
    rows = Example(x0, eps, r, t, uniforms)
    equal = jax.tree.map(lambda leaf: leaf[:num_equal], rows._replace(r=t))
    pairs = jax.tree.map(lambda leaf: leaf[num_equal:], rows)
    reference = None
    if method.num_reference:
        reference = experiment.dataset.draw(key_reference, method.num_reference)
    return Batch(pairs, equal, reference)


def batch_loss(
    experiment: Experiment, net: VelocityNet, net_ema: VelocityNet, batch: Batch, progress: Scalar
) -> Scalar:
    """Mean loss over the rows of a batch after the share ``progress`` of training."""
    inputs = ProxyInputs(net, net_ema, experiment.dataset, batch.reference)

    def pair_loss(example: Example) -> Scalar:
        beta = experiment.coefficient(progress, example.r, example.t)
        return experiment.method.pair_loss(example, inputs, beta)

    def equal_loss(example: Example) -> Scalar:
        return experiment.method.equal_loss(example, inputs)

    total = jnp.zeros((), batch.pairs.x0.dtype)
    if experiment.num_equal < experiment.batch_size:
        total += jnp.sum(jax.vmap(pair_loss)(batch.pairs))
    if experiment.num_equal > 0:
        total += jnp.sum(jax.vmap(equal_loss)(batch.equal))
    return total / experiment.batch_size


def loss_and_gradient(
    experiment: Experiment, params: Params, params_ema: Params, batch: Batch, progress: Scalar
) -> tuple[Scalar, Params]:
    """The loss of a batch and its gradient in ``params``: what the optimiser sees."""
    net = flat_net(experiment.net)

    def loss(parts: Parts) -> Scalar:
        return batch_loss(experiment, net.assemble(parts), net.bind(params_ema), batch, progress)

    value, gradients = jax.value_and_grad(loss)(net.split(params))
    return value, net.join(gradients)


def replica_gradients(
    experiment: Experiment, params: Params, params_ema: Params, progress: Scalar, keys: PRNGKey
) -> Gradients:
    """Gradients of independent batches at fixed parameters, one row for each of ``keys``."""

    def one(key: PRNGKey) -> Params:
        batch = draw_batch(experiment, key)
        return loss_and_gradient(experiment, params, params_ema, batch, progress)[1]

    return jax.lax.map(one, keys)


def covariance_trace(gradients: Gradients) -> Scalar:
    """Tr Cov of a sample of gradients (rows), unbiased: sum_k |g_k - mean|^2 / (K - 1)."""
    return jnp.sum((gradients - jnp.mean(gradients, axis=0)) ** 2) / (gradients.shape[0] - 1)
