"""How noise depends on beta at fixed parameters: the exact quadratic, its minimiser, and the published formulas."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from toylab.diagnostics.algebra import error_terms
from toylab.diagnostics.batch_trace import gradient_space
from toylab.diagnostics.gradient_variance import gradient_variance
from toylab.diagnostics.local import (
    batch_context,
    is_function_of_place,
    local_terms,
    meanflow_of,
    over_pairs,
    plain_experiment,
    stacked,
)
from toylab.diagnostics.published import PublishedFormulas, published_formulas
from toylab.diagnostics.quadratic import Z95, Quadratic, quadratic
from toylab.methods.base import mixed_tangent
from toylab.methods.terms import average_velocity_and_derivative
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch
from toylab.training.state import TrainState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BETAS = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Landscape:
    r"""What `beta_landscape` found.

    Args:
        output: f(beta) = E|R(beta) - r_theta|^2, noise and bias of the residual.
        gradient: the same in the space of parameters, for one pair.
        trace: Tr Cov of the run's batch gradient, rows with r = t and the spread over points included.
        published: the scalar and matrix formulas of Lu and Wang 2026 on the same points.
        measured: a row per beta: residual (Monte Carlo mean of |R - r_theta|^2 with its 95% interval residual_low,
            residual_high), residual_exact (f), residual_z (paired difference over its standard error), gradient (from
            `gradient_variance`, with gradient_low, gradient_high) and gradient_exact (``trace``).
        points: a row per pair on which beta acts: its own ``best`` beta, and the ``curvature`` of its own parabola. The
            mean of the first weighted by the second is ``beta_star``.
        title: which run.
    """

    output: Quadratic
    gradient: Quadratic
    trace: Quadratic
    published: PublishedFormulas
    measured: pd.DataFrame
    points: pd.DataFrame = field(repr=False)
    title: str

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """(c0, c1, c2) of f, output space."""
        return self.output.coefficients

    @property
    def stderr(self) -> tuple[float, float, float]:
        """Standard errors of the coefficients."""
        return self.output.stderr

    @property
    def beta_star(self) -> float:
        """Exact minimiser of f in output space."""
        return self.output.minimiser

    @property
    def beta_star_gradient(self) -> float:
        """Exact minimiser of the gradient's noise and bias."""
        return self.gradient.minimiser

    @property
    def beta_star_scalar(self) -> float:
        """The paper's scalar formula, kappa = E Tr J / d with its sign."""
        return self.published.scalar

    @property
    def beta_star_matrix(self) -> float:
        """The paper's matrix formula at the mean matrices."""
        return self.published.matrix

    @property
    def kappa(self) -> float:
        """E Tr J / d: the multiple of the identity nearest to E J."""
        return self.published.kappa

    @property
    def sigma2(self) -> float:
        """E Tr Sigma / d."""
        return self.published.sigma2

    @property
    def bias(self) -> float:
        """E |b|^2 of the proxy."""
        return self.published.bias

    @property
    def local(self) -> dict[str, float]:
        """Best beta of single points, weighted by nothing: quantiles q5, q25, q50, q75, q95, and the shares below_0 and
        above_1; empty where beta acts on none."""
        best = self.points["best"].to_numpy()
        if not len(best):
            return {}
        quantiles = {f"q{q}": float(np.quantile(best, q / 100)) for q in (5, 25, 50, 75, 95)}
        return {**quantiles, "below_0": float(np.mean(best < 0)), "above_1": float(np.mean(best > 1))}

    def __str__(self) -> str:
        from toylab.diagnostics.summary import landscape_text

        return landscape_text(self)

    def figure(self) -> "Figure":
        """Both quadratics with what was measured on them."""
        from toylab.diagnostics.figures import landscape_figure

        return landscape_figure(self)


def beta_landscape(
    run: Run,
    num_points: int = 32_768,
    gradient_points: int = 4096,
    betas: Sequence[float] = BETAS,
    num_batches: int = 64,
    seed: int = 0,
) -> Landscape:
    r"""Noise as a function of beta at the run's parameters, exactly and measured.

        f(beta) = E|R(beta) - r_theta|^2 = E Tr(N Sigma N^T) + beta^2 E|A b|^2,   N = (I - A) + beta A,

    A = (t - r) d_x u, over the run's own pairs (r < t, x_t). Adaptive weight and anchor are left out, and a schedule
    of beta is replaced by each beta. Sigma and v are the dataset's; b is the error of the run's own proxy.

    Args:
        run: of method `meanflow` with the conditional target; any proxy in the tangent.
        num_points: pairs of the output-space quadratic, in whole chunks.
        gradient_points: pairs of the gradient-space quadratics (a parameter derivative each).
        betas: where to measure, finite reals.
        num_batches: batches of the measured gradient variance.
        seed: of points and batches.

    Raises:
        ValueError: another method or target, a beta that is not finite, or too few points or batches.

    Source: Lu and Wang 2026 (lu2026variance), whose scalar and matrix formulas stand beside the exact ones.
    """
    if not len(betas) or not np.all(np.isfinite(betas)):
        raise ValueError(f"betas must be finite numbers, at least one, got {list(betas)}")
    if num_batches < 2:
        raise ValueError(f"num_batches must be at least 2, got {num_batches}")
    betas = tuple(float(beta) for beta in betas)
    experiment, exact = plain_experiment(run.experiment), is_function_of_place(run.experiment)
    chunks = stacked(over_pairs(measured_residuals(betas), experiment, run.state, num_points, seed))
    local, drawn = chunks["local"], chunks["residuals"]
    terms = error_terms(local, exact)
    output = quadratic(terms)
    in_gradients = gradient_space(experiment, run.state, gradient_points, seed)
    # The same net without the settings that the theory leaves out, so that measured points belong on the curve.
    plain = Run(
        run.config.replace(
            adaptive_power=0.0, anchor_weight=0.0, coefficient="constant", coefficient_options={}
        ),
        run.state,
        run.history,
    )
    gradients = gradient_variance(plain, betas, num_batches, seed)
    errors = np.sum((drawn - local.residual[:, None]) ** 2, axis=-1)
    rows = []
    for index, beta in enumerate(betas):
        mean, half = errors[:, index].mean(), Z95 * _stderr(errors[:, index])
        difference = errors[:, index] - terms @ np.array([1.0, beta, beta**2])
        rows.append(
            {
                "beta": beta,
                "residual": mean,
                "residual_low": mean - half,
                "residual_high": mean + half,
                "residual_exact": float(output(beta)),
                "residual_z": float(difference.mean() / (_stderr(difference) or 1.0)),
                "gradient": gradients["trace"][index],
                "gradient_low": gradients["low"][index],
                "gradient_high": gradients["high"][index],
                "gradient_exact": float(in_gradients.trace(beta)),
            }
        )
    return Landscape(
        output=output,
        gradient=in_gradients.noise,
        trace=in_gradients.trace,
        published=published_formulas(local),
        measured=pd.DataFrame(rows),
        points=_points(terms),
        title=f"{run.config.dataset}, trained at beta {run.config.beta:g}, proxy {run.config.proxy}, "
        f"step {run.step}, seed {run.config.seed}",
    )


@lru_cache(maxsize=16)
def measured_residuals(betas: tuple[float, ...]):
    """The exact terms of each pair, and its residual at each beta by the training loop's own derivative."""

    def measure(experiment: Experiment, state: TrainState, batch: Batch):
        net, context = batch_context(experiment, state, batch)

        def residual(example, beta):
            x_t, r, t = example.x_t, example.r, example.t
            v_hat = meanflow_of(experiment).tangent(x_t, t, example.x0, example.eps, context)
            tangent = mixed_tangent(example.v_cond, v_hat, beta)
            u, du_dt = average_velocity_and_derivative(net, x_t, r, t, tangent)
            return u - example.v_cond + (t - r) * du_dt

        def one(example):
            at = jax.vmap(lambda beta: residual(example, beta))(jnp.asarray(betas, jnp.float32))
            return {"local": local_terms(experiment, net, example, context), "residuals": at}

        return jax.vmap(one)(batch.pairs)

    return measure


def _stderr(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _points(terms: np.ndarray) -> pd.DataFrame:
    sensitive = terms[terms[:, 2] > 0]
    return pd.DataFrame({"best": -sensitive[:, 1] / (2 * sensitive[:, 2]), "curvature": sensitive[:, 2]})
