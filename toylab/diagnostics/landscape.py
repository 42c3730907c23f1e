"""How noise depends on beta at fixed parameters: the exact quadratic, its minimiser, and the published formulas."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.diagnostics.batch_trace import gradient_space
from toylab.diagnostics.gradient_variance import gradient_variance
from toylab.diagnostics.local import (
    Local,
    batch_context,
    is_function_of_place,
    local_terms,
    meanflow_of,
    over_pairs,
    plain_experiment,
    stacked,
)
from toylab.diagnostics.quadratic import Z95, Quadratic, error_terms, quadratic
from toylab.methods.base import mixed_tangent
from toylab.methods.terms import average_velocity_and_derivative
from toylab.plots.figures import BASELINE, CHOSEN, DATA, ORACLE, panel_grid
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch
from toylab.training.state import TrainState

BETAS = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


class PublishedFormulas(NamedTuple):
    r"""Best coefficients as published, and what goes into them (d: dimension, J = A - I the Jacobi factor).

    Args:
        kappa: E Tr J / d, from J ~ kappa I. The theorem takes it positive; at the exact solution J = -(flow map's
            Jacobian), so it is negative wherever the map keeps orientation.
        kappa_size: sqrt(E |J|_F^2 / d), the size of J without its sign.
        sigma2: E Tr Sigma / d.
        bias: E |b|^2.
        scalar: kappa / (kappa + 1) * sigma2 d / (sigma2 d + bias).
        scalar_size: the same with kappa_size.
        matrix: Tr(J S (J+I)^T) / (Tr((J+I) S (J+I)^T) + |(J+I) b|^2) with E J, E Sigma and E b b^T in their places.
        matrix_mean: the formula at every single point, averaged: heavy-tailed, since a flat net (J = -I) divides by 0.
        matrix_median: its median over points.
        pooled_without_bias: E of the numerator over E of the denominator, without the bias term. With it this would be
            the exact minimiser.
    """

    kappa: float
    kappa_size: float
    sigma2: float
    bias: float
    scalar: float
    scalar_size: float
    matrix: float
    matrix_mean: float
    matrix_median: float
    pooled_without_bias: float


def published_formulas(local: Local) -> PublishedFormulas:
    """The formulas on the terms of many pairs.

    Source: Lu and Wang 2026 (lu2026variance), theorem on the optimal coefficient and its matrix form.
    """
    a, sigma, error = local.gap_jacobian, local.covariance, local.error
    dim = a.shape[-1]
    jacobi = a - np.eye(dim)
    kappa = float(np.trace(jacobi, axis1=1, axis2=2).mean() / dim)
    kappa_size = float(np.sqrt(np.mean(np.sum(jacobi**2, axis=(1, 2))) / dim))
    sigma2 = float(np.trace(sigma, axis1=1, axis2=2).mean() / dim)
    bias = float(np.mean(np.sum(error**2, axis=1)))

    def scalar(factor: float) -> float:
        shrinkage = sigma2 * dim / (sigma2 * dim + bias) if sigma2 + bias > 0 else np.nan
        return float(np.divide(factor, factor + 1)) * shrinkage if factor != -1 else np.nan

    cross = np.einsum("nij,njk,nik->n", jacobi, sigma, a)
    square = np.einsum("nij,njk,nik->n", a, sigma, a)
    shift = np.sum(np.einsum("nij,nj->ni", a, error) ** 2, axis=1)
    mean_a, mean_sigma = a.mean(axis=0), sigma.mean(axis=0)
    second = error.T @ error / len(error)
    whole = np.trace(mean_a @ (mean_sigma + second) @ mean_a.T)
    matrix = np.trace((mean_a - np.eye(dim)) @ mean_sigma @ mean_a.T) / whole if whole > 0 else np.nan
    each = (cross / np.where(square + shift > 0, square + shift, 1))[square + shift > 0]
    return PublishedFormulas(
        kappa,
        kappa_size,
        sigma2,
        bias,
        scalar(kappa),
        scalar(kappa_size),
        float(matrix),
        float(each.mean()) if len(each) else np.nan,
        float(np.median(each)) if len(each) else np.nan,
        float(cross.sum() / square.sum()) if square.sum() > 0 else np.nan,
    )


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
        return landscape_text(self)

    def figure(self) -> Figure:
        """Both quadratics with what was measured on them."""
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


def landscape_figure(landscape: Landscape) -> Figure:
    """Exact quadratics as lines, measured values as points with 95% intervals, best coefficients as verticals."""
    figure, (output, gradient) = panel_grid(2)
    table = landscape.measured
    betas = np.linspace(table["beta"].min() - 0.1, table["beta"].max() + 0.1, 200)
    panels = (
        (output, landscape.output, "residual", "noise of the residual"),
        (gradient, landscape.trace, "gradient", "Tr Cov of the batch gradient"),
    )
    for panel, exact, column, title in panels:
        panel.plot(betas, exact(betas), color=CHOSEN, lw=1.4, label="exact quadratic")
        spread = np.stack([table[column] - table[f"{column}_low"], table[f"{column}_high"] - table[column]])
        panel.errorbar(
            table["beta"], table[column], np.clip(spread, 0, None), color=DATA, fmt="o", ms=4, capsize=3,
            label="measured, 95%",
        )  # fmt: skip
        panel.set(title=title, xlabel="beta")
        panel.set_ylim(bottom=0)
    marks = (
        (output, landscape.beta_star, CHOSEN, "-", "best"),
        (output, landscape.beta_star_scalar, BASELINE, "--", "scalar formula"),
        (output, landscape.beta_star_matrix, ORACLE, ":", "matrix formula"),
        (gradient, landscape.trace.minimiser, CHOSEN, "-", "best"),
        (gradient, landscape.beta_star_gradient, ORACLE, "-.", "best without spread over points"),
    )
    for panel, beta, colour, style, name in marks:
        if betas[0] <= beta <= betas[-1]:
            panel.axvline(beta, color=colour, ls=style, lw=1, label=f"{name} {beta:.2f}")
        elif np.isfinite(beta):
            panel.plot([], [], color=colour, ls=style, label=f"{name} {beta:.2f} (outside)")
    for panel in (output, gradient):
        panel.legend(fontsize="x-small", frameon=False)
    return figure


FAR = 4.0
"""Standard errors beyond which two numbers are said to disagree."""


def landscape_text(landscape: Landscape) -> str:
    """Minimisers with intervals, the published formulas, and where they disagree with the exact minimiser."""
    output, gradient, trace = landscape.output, landscape.gradient, landscape.trace
    published, measured = landscape.published, landscape.measured
    lines = [
        f"Landscape of beta: {landscape.title}",
        _quadratic_line("output space    E|R - r_theta|^2      ", output),
        _quadratic_line("gradient space  E|grad - grad_theta|^2", gradient),
        _quadratic_line("batch gradient  Tr Cov                ", trace),
    ]
    if not landscape.local:
        return "\n".join([*lines, "beta has no effect: the proxy is the conditional velocity itself"])
    local = landscape.local
    lines += [
        f"best beta of single points: median {local['q50']:.2f}, "
        f"90% of them in [{local['q5']:.2f}, {local['q95']:.2f}]; "
        f"{local['below_0']:.0%} below 0, {local['above_1']:.0%} above 1",
        f"paper's inputs: kappa = {published.kappa:.3f} (size {published.kappa_size:.3f}), "
        f"sigma^2 = {published.sigma2:.3f}, E|b|^2 = {published.bias:.4f}",
    ]
    formulas = {
        "scalar formula": published.scalar,
        "scalar formula with |J| for kappa": published.scalar_size,
        "matrix formula at mean matrices": published.matrix,
        "matrix formula, mean over points": published.matrix_mean,
        "matrix formula pooled, no bias term": published.pooled_without_bias,
    }
    # Tail and rounding: no formula is called wrong for less than 0.02.
    tolerance = max(FAR * output.minimiser_stderr, 0.02)
    for name, value in formulas.items():
        distance = value - output.minimiser
        verdict = "agrees" if abs(distance) <= tolerance else f"DISAGREES by {distance:+.2f}"
        ratio = output(value) / output(output.minimiser) if np.isfinite(value) else np.nan
        lines.append(f"  {name:<36} {value:9.3f}  {verdict}; noise there {ratio:.3g} x the least")
    if published.kappa < 0:
        lines.append(
            "  The theorem takes kappa > 0. Here kappa < 0: J = -(flow map's Jacobian) at the exact solution."
        )
    worst = float(np.max(np.abs(measured["residual_z"])))
    exact, low, high = measured[["gradient_exact", "gradient_low", "gradient_high"]].to_numpy().T
    inside = np.sum((exact >= low) & (exact <= high))
    lines.append(
        f"measured at {len(measured)} betas: residuals within {worst:.1f} standard errors of the quadratic, "
        f"{inside} of {len(measured)} gradient traces within their 95% intervals"
    )
    return "\n".join(lines)


def _quadratic_line(name: str, of: Quadratic) -> str:
    c0, c1, c2 = of.coefficients
    if np.isnan(of.minimiser):
        return f"{name} = {c0:.4g} at every beta (n = {of.n})"
    half = Z95 * of.minimiser_stderr
    errors = ", ".join(f"{error:.2g}" for error in of.stderr)
    return (
        f"{name} = {c0:.4g} {c1:+.4g} beta {c2:+.4g} beta^2 (standard errors {errors}), "
        f"least at beta* = {of.minimiser:.3f} +- {half:.3f}; at 0 / 1: {of(0):.4g} / {of(1):.4g}; "
        f"top 1% carry {of.top_share:.0%} at beta 0 (n = {of.n})"
    )
