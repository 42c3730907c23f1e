"""Loss, its noise, Jacobi factor and proxy error along time, of a net of any size: no oracle, no Jacobian matrix."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from toylab.devices.parallel import compiled, single_precision
from toylab.diagnostics.local import (
    Reference,
    check_reference,
    meanflow_of,
    reference_velocity,
    seen_velocity,
    trained_net,
)
from toylab.methods import Context, Example
from toylab.options import whole
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import context_of, draw_pairs, guided_pair
from toylab.training.state import TrainState, lane_keys
from toylab.types import AnyArray, PRNGKey, Scalar

CHUNK = 256
"""Pairs per call: few, since every one of them takes several passes with derivatives."""


class Pairs(NamedTuple):
    """What is measured of each pair."""

    t: Float[AnyArray, " n"]
    losses: Float[AnyArray, "n betas"]
    """|u - sg[v_target - (t - r) du/dt]|^2 / dim for each beta."""
    jacobi: Float[AnyArray, " n"]
    """|J z|^2 / dim for a random sign vector z: an unbiased estimate of Tr(J J^T) / dim, J = (t - r) d_x u - I."""
    proxy_error: Float[AnyArray, " n"]
    """|v_hat - v_reference|^2 / dim, v_reference with the run's guidance; NaN without a reference."""


def loss_by_time(
    run: Run,
    betas: Sequence[float] = (0.0, 0.5, 1.0),
    *,
    reference: Run | None = None,
    num_points: int = 4096,
    num_bins: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """Per bin of the later time t: loss and its variance at each beta, Jacobi factor, error of the tangent's proxy.

    Args:
        run: of MeanFlow; pairs are drawn and guided as in its training, without the adaptive weight.
        betas: the same pairs for all of them; 0 is the stochastic tangent, 1 with a net as proxy the deterministic one.
        reference: a run on the same data, trained by flow matching alone and without guidance, whose velocity stands
            for the true one. Its error is part of ``proxy_error``, and cannot be told from that of the proxy.
        num_points: pairs, rounded up to whole chunks of 256.
        num_bins: of equal width.
        seed: of pairs and probes.

    Returns:
        One row per bin and beta: t_low, t_high, beta, n, loss, loss_stderr, variance (over pairs), jacobi,
        jacobi_stderr, proxy_error. Bins without pairs are left out.

    Raises:
        ValueError: another method than MeanFlow, a bad count, or a reference that knows another velocity.
    """
    meanflow_of(run.experiment)
    num_bins, num_points = (
        whole("num_bins", num_bins, 1, 1000),
        whole("num_points", num_points, 2, 10_000_000),
    )
    if reference is not None:
        check_reference(run, reference)
    key = jax.random.fold_in(lane_keys(run.experiment).diagnostics, seed)
    other = None if reference is None else (reference.experiment, reference.state)
    with single_precision():
        call, levels = compiled(_measure(CHUNK)), np.asarray(betas, np.float32)
        keys = jax.random.split(key, -(-num_points // CHUNK))
        chunks = [jax.device_get(call(run.experiment, run.state, other, levels, each)) for each in keys]
    pairs = Pairs(*(np.concatenate(parts).astype(np.float64) for parts in zip(*chunks, strict=True)))
    return _table(pairs, betas, num_bins)


@lru_cache(maxsize=8)
def _measure(chunk: int):
    def measure(
        experiment: Experiment,
        state: TrainState,
        other: Reference | None,
        betas: Float[Array, " betas"],
        key: PRNGKey,
    ) -> Pairs:
        key_pairs, key_signs = jax.random.split(key)
        batch = draw_pairs(experiment, key_pairs, chunk)
        context = context_of(experiment, trained_net(experiment, state), state, batch)
        signs = jax.random.rademacher(key_signs, batch.pairs.x0.shape, jnp.float32)

        def one(example: Example, sign: Float[Array, " dim"]) -> Pairs:
            return _of_pair(experiment, other, betas, example, context, sign)

        return jax.vmap(one)(batch.pairs, signs)

    return measure


def _of_pair(
    experiment: Experiment,
    other: Reference | None,
    betas: Float[Array, " betas"],
    example: Example,
    context: Context,
    sign: Float[Array, " dim"],
) -> Pairs:
    method, drawn = meanflow_of(experiment), example
    example, own = guided_pair(experiment, drawn, context)
    x_t, r, t = example.x_t, example.r, example.t

    def loss(beta: Scalar) -> Scalar:
        return jnp.mean(method.residual(example, own, beta) ** 2)

    jacobi = example.gap * jax.jvp(lambda x: own.net(x, r, t), (x_t,), (sign,))[1] - sign
    error = jnp.asarray(jnp.nan)
    if other is not None:
        v = seen_velocity(experiment, drawn, context, reference_velocity(other, drawn))
        error = jnp.mean((method.tangent(x_t, t, example.x0, example.eps, own) - v) ** 2)
    return Pairs(jnp.asarray(t), jax.vmap(loss)(betas), jnp.mean(jacobi**2), error)


def _table(pairs: Pairs, betas: Sequence[float], num_bins: int) -> pd.DataFrame:
    edges, rows = np.linspace(0, 1, num_bins + 1), []
    place = np.clip(np.digitize(pairs.t, edges) - 1, 0, num_bins - 1)
    for index in np.unique(place):
        inside = place == index
        n, jacobi = int(np.sum(inside)), pairs.jacobi[inside]
        for column, beta in enumerate(betas):
            losses = pairs.losses[inside, column]
            variance = float(np.var(losses, ddof=1)) if n > 1 else np.nan
            rows.append(
                {
                    "t_low": edges[index],
                    "t_high": edges[index + 1],
                    "beta": float(beta),
                    "n": n,
                    "loss": float(np.mean(losses)),
                    "loss_stderr": (variance / n) ** 0.5,
                    "variance": variance,
                    "jacobi": float(np.mean(jacobi)),
                    "jacobi_stderr": float(np.std(jacobi, ddof=1) / n**0.5) if n > 1 else np.nan,
                    "proxy_error": float(np.mean(pairs.proxy_error[inside])),
                }
            )
    return pd.DataFrame(rows)
