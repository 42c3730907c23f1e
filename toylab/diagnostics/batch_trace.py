"""Trace of the covariance of a batch gradient, as a quadratic in beta, from the moments of single examples.

Parameters enter through the Gram matrix G = (d_theta u)(d_theta u)^T of one example, which is dim x dim.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from toylab.diagnostics.local import (
    Local,
    batch_context,
    is_function_of_place,
    local_terms,
    over_pairs,
    stacked,
)
from toylab.diagnostics.quadratic import Quadratic, error_terms, quadratic, square_terms, weighted_trace
from toylab.methods import Example
from toylab.nets import flat_net
from toylab.nets.flat import Gradients, Parts
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch
from toylab.training.state import TrainState
from toylab.types import Matrix, Point, Scalar


class GradientSpace(NamedTuple):
    r"""Two quadratics in beta that live in the space of parameters.

    Args:
        noise: E |grad - grad_theta|^2 of one pair, where grad_theta = 2 (d_theta u)^T r_theta is the gradient without
            noise and bias: 4 E[Tr(G N Sigma N^T) + beta^2 (A b)^T G (A b)].
        trace: Tr Cov of the gradient of a batch of the run's size: what `gradient_variance` measures. It holds the
            spread of r_theta over points, and the rows with r = t.
    """

    noise: Quadratic
    trace: Quadratic


def gradient_space(experiment: Experiment, state: TrainState, num_points: int, seed: int) -> GradientSpace:
    """Both quadratics of a `plain_experiment`, exact given x_t, over ``num_points`` pairs."""
    chunks = over_pairs(_moments, experiment, state, num_points, seed)
    sums = np.sum([chunk.pop("sums") for chunk in chunks], axis=0)
    terms = stacked(chunks)
    local, exact = terms["local"], is_function_of_place(experiment)
    noise = 4 * error_terms(local, exact, terms["gram"])
    second = 4 * square_terms(local, exact, terms["gram"])
    equal = 4 * _equal_square(terms)
    n = len(second)
    # Inner products of the mean gradients in beta^0, beta^1, and of the rows with r = t.
    m0, m1, m_equal = 2 * sums / n
    mean_square = np.array([m0 @ m0, 2 * m0 @ m1, m1 @ m1])
    # The square of an estimated mean is too large by the estimate's own variance.
    own = 4 * _own_square(local, exact, terms["gram"])
    mean_square -= (own.mean(axis=0) - mean_square) / (n - 1)
    equal_own = 4 * np.einsum("ni,nij,nj->n", terms["equal"], terms["gram_equal"], terms["equal"])
    mean_equal = m_equal @ m_equal
    mean_equal -= (equal_own.mean() - mean_equal) / (n - 1)
    batch, rows_equal = experiment.batch_size, experiment.num_equal
    scale, scale_equal = (batch - rows_equal) / batch**2, rows_equal / batch**2
    rows = scale * (second - mean_square)
    rows[:, 0] += scale_equal * (equal - mean_equal)
    return GradientSpace(quadratic(noise), quadratic(rows))


def _moments(experiment: Experiment, state: TrainState, batch: Batch) -> dict[str, Any]:
    net, context = batch_context(experiment, state, batch)
    pairs = batch.pairs
    local = jax.vmap(lambda example: local_terms(experiment, net, example, context))(pairs)

    def flow_matching_residual(example):
        v = experiment.dataset.velocity_moments(example.x_t, example.t)[0]
        return net(example.x_t, example.t, example.t) - v

    equal = jax.vmap(flow_matching_residual)(pairs)
    a = local.gap_jacobian
    if is_function_of_place(experiment):
        start, slope = local.residual, jnp.einsum("nij,nj->ni", a, local.error)
    else:
        start = local.residual - local.noise + jnp.einsum("nij,nj->ni", a, local.noise)
        slope = jnp.einsum("nij,nj->ni", a, local.error - local.noise)
    # Both kinds of rows go through one derivative: it is compiled once.
    rows = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), pairs, pairs._replace(r=pairs.t))
    nothing = jnp.zeros_like(start)
    cotangents = jnp.stack(
        [jnp.concatenate(each) for each in ((start, nothing), (slope, nothing), (nothing, equal))]
    )
    gram, gram_equal = jnp.split(gram_matrices(experiment, state, rows), 2)
    return {
        "local": local,
        "gram": gram,
        "equal": equal,
        "gram_equal": gram_equal,
        "sums": pulled_back(experiment, state, rows, cotangents),
    }


def _own_square(local: Local, exact: bool, gram) -> Float[np.ndarray, "n 3"]:
    """The part of the second moment that does not come from v' given x_t."""
    silent = local._replace(covariance=np.zeros_like(local.covariance)) if exact else local
    return square_terms(silent, exact, gram)


def _equal_square(terms) -> Float[np.ndarray, " n"]:
    """E[|u - v_cond|^2_G | x_t] at r = t: residual, and the noise of the target."""
    residual, gram, sigma = terms["equal"], terms["gram_equal"], terms["local"].covariance
    identity = np.broadcast_to(np.eye(sigma.shape[-1]), sigma.shape)
    noise = weighted_trace(gram, identity, sigma, identity)
    return np.einsum("ni,nij,nj->n", residual, gram, residual) + noise


# Per-example derivatives of this many examples at a time stay in the cache: twice as fast as with 64.
_INNER = 8


def gram_matrices(experiment: Experiment, state: TrainState, rows: Example) -> jax.Array:
    r"""G = (d_theta u)(d_theta u)^T of shape (dim, dim), for each of many examples.

    For any vector c the parameter gradient d_theta(c . u) has squared norm c^T G c: traces of gradient covariances
    follow from G exactly, as Tr(G C), without a gradient covariance.
    """
    net = flat_net(experiment.net)
    parts = net.split(jnp.asarray(state.params))

    def one(arguments: tuple[Point, Scalar, Scalar]) -> Matrix:
        x, r, t = arguments
        u, pull = jax.vjp(lambda parts: net.assemble(parts)(x, r, t), parts)
        (derivatives,) = jax.vmap(pull)(jnp.eye(u.shape[0], dtype=u.dtype))
        return _inner_products(derivatives)

    points = jax.vmap(lambda example: example.x_t)(rows)
    return jax.lax.map(one, (points, rows.r, rows.t), batch_size=_INNER)


def pulled_back(experiment: Experiment, state: TrainState, rows: Example, cotangents: jax.Array) -> Gradients:
    """sum_i (d_theta u_i)^T c_i for each of the stacked ``cotangents`` (k, n, dim); shape (k, p)."""
    net = flat_net(experiment.net)

    def outputs(parts: Parts):
        u = net.assemble(parts)
        return jax.vmap(lambda example: u(example.x_t, example.r, example.t))(rows)

    _, pull = jax.vjp(outputs, net.split(jnp.asarray(state.params)))
    return jax.vmap(lambda each: net.join(pull(each)[0]))(cotangents)


def _inner_products(derivatives: Parts) -> Matrix:
    return sum((jnp.einsum("i...,j...->ij", part, part) for part in derivatives), jnp.zeros(()))
