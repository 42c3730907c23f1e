"""Theorem check: what the stop-gradient hides from the optimiser."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from toylab.diagnostics.local import (
    batch_context,
    is_function_of_place,
    local_terms,
    meanflow_of,
    over_pairs,
    plain_experiment,
    stacked,
)
from toylab.methods.base import mixed_tangent
from toylab.methods.terms import average_velocity_and_derivative
from toylab.nets import flat_net
from toylab.plots.figures import BASELINE, CHOSEN, DATA, ORACLE, panel_grid
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch, beta_of
from toylab.training.state import TrainState
from toylab.types import AnyArray

_ROWS = 256


class SemiGradientGap(NamedTuple):
    r"""Gradient of E|R|^2 without minus with the stop-gradient, against its prediction, at one state.

    Args:
        semi_norm: |gradient with the stop-gradient|, what the optimiser follows.
        gap_norm: |measured difference|.
        mean_field_norm: |2 E (d_theta[(t-r) D u])^T (r_theta + beta A b)|: vanishes with the residual.
        noise_norm: |E grad_theta Tr(N Sigma N^T)|: does not vanish.
        slope: <measured, predicted> / |predicted|^2, 1 if the theorem holds.
        stderr: of the slope, by jackknife over batches.
        slope_without_noise: the same with the mean-field part alone as prediction.
        mismatch: |measured - predicted| / |predicted|.
        mismatch_expected: what chance alone makes of it, from the spread over batches.
        n: pairs.
    """

    semi_norm: float
    gap_norm: float
    mean_field_norm: float
    noise_norm: float
    slope: float
    stderr: float
    slope_without_noise: float
    mismatch: float
    mismatch_expected: float
    n: int

    def figure(self) -> Figure:
        """Norms of the gradients as bars."""
        return semi_gradient_figure(self)


def semi_gradient_gap(
    run: Run, beta: float | None = None, num_points: int = 16_384, seed: int = 0
) -> SemiGradientGap:
    r"""Difference of the gradients with and without the stop-gradient, measured and predicted on the same pairs.

    With R = r_theta + beta A b - N v', the derivative that the stop-gradient drops is that of the tangent's product,

        gap = 2 E[(d_theta (t-r) D_{(v + beta b, 0, 1)} u)^T (r_theta + beta A b)] + E grad_theta Tr(N Sigma N^T),

    where the drawn v' appears in neither term. The proxy and beta carry no gradient.

    Args:
        run: of method `meanflow`, conditional target, with a proxy that is a function of x_t.
        beta: coefficient; the run's rule by default.
        num_points: pairs, in batches of 256.
        seed: of the pairs.

    Raises:
        ValueError: another method or target, a proxy that looks at its own pair, or fewer than two batches.

    Source: Lu and Wang 2026 (lu2026variance), theorem on the semi-gradient gap.
    """
    if num_points < 2 * _ROWS:
        raise ValueError(f"num_points must be at least {2 * _ROWS}, got {num_points}")
    experiment = plain_experiment(run.experiment, beta)
    if not is_function_of_place(experiment):
        raise ValueError(f"semi_gradient_gap needs a proxy of x_t alone, got {run.config.proxy!r}")
    chunks = over_pairs(_vectors, experiment, run.state, num_points, seed, chunk=_ROWS)
    semi, full, mean_field, noise = np.moveaxis(stacked(chunks), 1, 0)
    gap, predicted = full - semi, mean_field + noise
    difference = gap - predicted
    count, norm = len(gap), np.linalg.norm
    scale = norm(predicted.mean(axis=0))
    slopes = np.array([_slope(_without(gap, i), _without(predicted, i)) for i in range(count)])
    chance = np.sqrt(np.sum(difference.var(axis=0, ddof=1)) / count)
    return SemiGradientGap(
        semi_norm=float(norm(semi.mean(axis=0))),
        gap_norm=float(norm(gap.mean(axis=0))),
        mean_field_norm=float(norm(mean_field.mean(axis=0))),
        noise_norm=float(norm(noise.mean(axis=0))),
        slope=_slope(gap.mean(axis=0), predicted.mean(axis=0)),
        stderr=float(np.sqrt((count - 1) * slopes.var())),
        slope_without_noise=_slope(gap.mean(axis=0), mean_field.mean(axis=0)),
        mismatch=float(norm(difference.mean(axis=0)) / scale),
        mismatch_expected=float(chance / scale),
        n=count * _ROWS,
    )


def _vectors(experiment: Experiment, state: TrainState, batch: Batch) -> AnyArray:
    """Gradients of a batch: with and without the stop-gradient, and the two predicted parts; shape (1, 4, p)."""
    flat = flat_net(experiment.net)
    own_net, context = batch_context(experiment, state, batch)
    method = meanflow_of(experiment)

    def losses(parts, example):
        net = flat.assemble(parts)
        x_t, r, t, gap = example.x_t, example.r, example.t, example.gap
        beta = beta_of(experiment, state, example, context)
        v_hat = method.tangent(x_t, t, example.x0, example.eps, context)
        tangent = mixed_tangent(example.v_cond, v_hat, beta)
        u, du_dt = average_velocity_and_derivative(net, x_t, r, t, tangent)
        stop = jax.lax.stop_gradient
        semi = jnp.sum((u - example.v_cond + gap * stop(du_dt)) ** 2)
        full = jnp.sum((u - example.v_cond + gap * du_dt) ** 2)
        # The prediction: no drawn noise from here on.
        local = jax.tree.map(stop, local_terms(experiment, own_net, example, context))
        matrix = beta if beta.ndim == 2 else beta * jnp.eye(len(x_t))
        v = experiment.dataset.velocity(x_t, t)
        mean_tangent = stop(v + matrix @ local.error)
        _, mean_derivative = average_velocity_and_derivative(net, x_t, r, t, mean_tangent)
        mean_residual = local.residual + local.gap_jacobian @ matrix @ local.error
        mean_field = 2 * gap * mean_derivative @ mean_residual
        a = gap * jax.jacfwd(lambda x: net(x, r, t))(x_t)
        factor = jnp.eye(len(x_t)) - a + a @ matrix
        noise = jnp.trace(factor @ local.covariance @ factor.T)
        return jnp.stack([semi, full, mean_field, noise])

    def mean_losses(parts):
        return jnp.mean(jax.vmap(lambda example: losses(parts, example))(batch.pairs), axis=0)

    _, pull = jax.vjp(mean_losses, flat.split(jnp.asarray(state.params)))
    return jax.vmap(lambda which: flat.join(pull(which)[0]))(jnp.eye(4))[None]


def _without(vectors: np.ndarray, index: int) -> np.ndarray:
    return (vectors.sum(axis=0) - vectors[index]) / (len(vectors) - 1)


def _slope(measured: np.ndarray, predicted: np.ndarray) -> float:
    return float(measured @ predicted / (predicted @ predicted))


def semi_gradient_figure(gap: SemiGradientGap) -> Figure:
    """Norms: gradient that is followed, what the stop-gradient hides, and its two parts."""
    figure, (panel,) = panel_grid(1)
    names = ("followed", "hidden,\nmeasured", "mean-field\npart", "noise\npart")
    norms = (gap.semi_norm, gap.gap_norm, gap.mean_field_norm, gap.noise_norm)
    panel.bar(names, norms, color=(DATA, CHOSEN, ORACLE, BASELINE))
    panel.set(title=f"slope {gap.slope:.3f} +- {1.96 * gap.stderr:.3f}", ylabel="norm of the gradient")
    panel.tick_params(axis="x", labelsize="x-small")
    return figure
