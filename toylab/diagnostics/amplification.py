"""Theorem check: how much gradient noise the conditional tangent makes, point by point."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.diagnostics.batch_trace import gram_matrices
from toylab.diagnostics.local import (
    batch_context,
    is_function_of_place,
    local_terms,
    over_pairs,
    plain_experiment,
    stacked,
)
from toylab.diagnostics.quadratic import error_terms
from toylab.nets import flat_net
from toylab.plots.figures import CHOSEN, DATA, panel_grid
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch, beta_of, context_of
from toylab.training.state import TrainState

_INNER = 8


@dataclass(frozen=True)
class Amplification:
    """What `variance_amplification` found.

    Args:
        points: a row per pair: formula, Tr(G N Sigma N^T) without a factor; measured, the squared norm of the gradient
            minus its mean given x_t.
        factor: sum of measured over sum of formula; the theorem says 4.
        stderr: its standard error over pairs.
        n: pairs.
    """

    points: pd.DataFrame
    factor: float
    stderr: float
    n: int

    def figure(self) -> Figure:
        """Measured against four times the formula, means over bins of equal count."""
        return amplification_figure(self.points, self.factor, self.stderr)


def variance_amplification(
    run: Run, beta: float = 0.0, num_points: int = 2048, seed: int = 0
) -> Amplification:
    r"""Gradient noise from v' given x_t against 4 Tr(G N Sigma N^T), at the same pairs; N = J up to sign at beta 0.

    The gradient of |R|^2 with the stop-gradient is 2 (d_theta u)^T R, and v' enters R as -N v': its covariance given
    x_t is 4 (d_theta u)^T N Sigma N^T (d_theta u), hence the factor 4 with G = (d_theta u)(d_theta u)^T. The measured
    side takes nothing of this: it is the training loss differentiated at the drawn pair, minus the same at the pair
    through the same x_t whose velocity is v (the loss's gradient is affine in v_cond, so that is its mean given x_t).

    Args:
        run: of method `meanflow`, conditional target, with a proxy that is a function of x_t.
        beta: coefficient, any finite real.
        num_points: pairs.
        seed: of the pairs.

    Raises:
        ValueError: another method or target, a proxy that looks at its own pair, or too few points.

    Source: Lu and Wang 2026 (lu2026variance), theorem on variance amplification.
    """
    experiment = plain_experiment(run.experiment, beta)
    if not is_function_of_place(experiment):
        raise ValueError(f"variance_amplification needs a proxy of x_t alone, got {run.config.proxy!r}")
    terms = stacked(over_pairs(_gradients, experiment, run.state, num_points, seed))
    local = terms["local"]
    formula = error_terms(local._replace(error=np.zeros_like(local.error)), True, terms["gram"])
    predicted, measured = formula @ np.array([1.0, beta, beta**2]), terms["measured"]
    factor = measured.sum() / predicted.sum()
    stderr = (measured - factor * predicted).std(ddof=1) / len(measured) ** 0.5 / predicted.mean()
    table = pd.DataFrame({"formula": predicted, "measured": measured})
    return Amplification(table, float(factor), float(stderr), len(measured))


def _gradients(experiment: Experiment, state: TrainState, batch: Batch):
    flat = flat_net(experiment.net)
    parts = flat.split(jnp.asarray(state.params))

    def gradient(example):
        def loss(parts):
            context = context_of(experiment, flat.assemble(parts), state, batch)
            beta = beta_of(experiment, state, example, context)
            return experiment.method.pair_loss(example, context, beta)

        return flat.join(jax.grad(loss)(parts))

    def squared_deviation(example):
        x_t, t = example.x_t, example.t
        v = experiment.dataset.velocity(x_t, t)
        middle = example._replace(x0=x_t - t * v, eps=x_t + (1 - t) * v)
        return jnp.sum((gradient(example) - gradient(middle)) ** 2)

    net, context = batch_context(experiment, state, batch)
    return {
        "local": jax.vmap(lambda example: local_terms(experiment, net, example, context))(batch.pairs),
        "gram": gram_matrices(experiment, state, batch.pairs),
        "measured": jax.lax.map(squared_deviation, batch.pairs, batch_size=_INNER),
    }


def amplification_figure(points: pd.DataFrame, factor: float, stderr: float) -> Figure:
    """Bin means of the measured gradient noise against four times the formula."""
    figure, (panel,) = panel_grid(1)
    pairs = points[["formula", "measured"]].to_numpy()
    ordered = pairs[np.argsort(pairs[:, 0])][np.sum(pairs[:, 0] <= 0) :]
    bins = np.array([part.mean(axis=0) for part in np.array_split(ordered, min(20, len(ordered)))])
    panel.loglog(4 * bins[:, 0], bins[:, 1], "o", color=CHOSEN, ms=4, label="measured, bin means")
    ends = 4 * bins[[0, -1], 0]
    panel.loglog(ends, ends, color=DATA, lw=1, label="4 Tr(G N Sigma N^T)")
    panel.set(title=f"factor {factor:.2f} +- {1.96 * stderr:.2f}", xlabel="formula", ylabel="measured")
    panel.legend(fontsize="x-small", frameon=False)
    return figure
