"""Quadratics in beta, c0 + c1 beta + c2 beta^2: from the terms of examples, and their mean over a population.

Everything is float64 on the host. For a proxy that is a function of x_t the expectation over v' given x_t is taken
exactly, with Sigma. A proxy that depends on the example's own pair (conditional, batch posterior) has an error
correlated with v', and keeps its draw.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from toylab.diagnostics.local import Local, Vectors

Z95 = 1.96
TOP = 0.01


class Quadratic(NamedTuple):
    """Mean of per-example quadratics in beta, with standard errors over examples.

    Args:
        coefficients: c0, c1, c2.
        stderr: their standard errors.
        minimiser: -c1 / (2 c2); NaN where beta has no effect (c2 = 0).
        minimiser_stderr: its standard error, by linearisation of the ratio.
        top_share: share of the value at beta = 0 carried by the largest 1% of the examples. Near 1 a standard error
            says little: the tail that was not drawn may hold more.
        n: examples.
    """

    coefficients: tuple[float, float, float]
    stderr: tuple[float, float, float]
    minimiser: float
    minimiser_stderr: float
    top_share: float
    n: int

    def __call__(self, beta):
        """Value at ``beta`` (a number or an array)."""
        c0, c1, c2 = self.coefficients
        beta = np.asarray(beta, np.float64)
        return c0 + c1 * beta + c2 * beta**2


def quadratic(terms: Float[np.ndarray, "n 3"]) -> Quadratic:
    """The mean of rows (c0, c1, c2) of examples.

    Raises:
        ValueError: fewer than two rows, or one that is not finite.
    """
    n = len(terms)
    if n < 2 or not np.all(np.isfinite(terms)):
        raise ValueError(f"a quadratic needs at least two finite rows, got {n} (is the net finite?)")
    c0, c1, c2 = terms.mean(axis=0)
    stderr = terms.std(axis=0, ddof=1) / np.sqrt(n)
    minimiser = minimiser_stderr = np.nan
    if c2 > 0:
        minimiser = -c1 / (2 * c2)
        # To first order the ratio moves by the mean of c1_i / 2 + beta* c2_i, over c2.
        slips = terms[:, 1] / 2 + minimiser * terms[:, 2]
        minimiser_stderr = slips.std(ddof=1) / np.sqrt(n) / c2
    return Quadratic(
        (float(c0), float(c1), float(c2)),
        (float(stderr[0]), float(stderr[1]), float(stderr[2])),
        float(minimiser),
        float(minimiser_stderr),
        top_share(terms[:, 0]),
        n,
    )


def top_share(values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None) -> float:
    """Share of the total of non-negative ``values`` that the largest 1% (by count, or by weight) carry."""
    order = np.argsort(values)[::-1]
    weights = np.ones(len(values)) if weights is None else weights
    heavy, weight = (values * weights)[order], weights[order]
    total = heavy.sum()
    if not total > 0:
        return float("nan")
    # The example on the border counts by the part of it that lies inside.
    before = np.cumsum(weight) - weight
    room = np.clip(TOP * weight.sum() - before, 0, weight)
    inside = np.divide(room, weight, out=np.zeros_like(weight), where=weight > 0)
    return float((heavy * inside).sum() / total)


Rows = Float[np.ndarray, "n 3"]
Each = Float[np.ndarray, " n"]


def error_terms(local: Local, exact: bool, metric: Float[np.ndarray, "n dim dim"] | None = None) -> Rows:
    r"""Coefficients in beta of E[|R(beta) - r_theta|^2_G | x_t] of each example.

    Exact: Tr(G N Sigma N^T) + beta^2 (A b)^T G (A b) with N = (I - A) + beta A. Else the same for the drawn v' and w.

    Args:
        local: terms.
        exact: whether w is a function of x_t.
        metric: G; the identity by default.
    """
    a = local.gap_jacobian
    rest = np.eye(a.shape[-1]) - a
    g = np.broadcast_to(np.eye(a.shape[-1]), a.shape) if metric is None else metric
    if exact:
        sigma, shift = local.covariance, _apply(a, local.error)
        c0 = weighted_trace(g, rest, sigma, rest)
        c1 = 2 * weighted_trace(g, rest, sigma, a)
        c2 = weighted_trace(g, a, sigma, a) + _form(g, shift, shift)
    else:
        start, slope = -_apply(rest, local.noise), _apply(a, local.error - local.noise)
        c0, c1, c2 = _form(g, start, start), 2 * _form(g, start, slope), _form(g, slope, slope)
    return np.stack([c0, c1, c2], axis=1)


def mean_residual(local: Local, exact: bool) -> tuple[Vectors, Vectors]:
    """R(0) and its slope in beta, with v' averaged out where ``exact``: r_theta and A b."""
    a = local.gap_jacobian
    if exact:
        return local.residual, _apply(a, local.error)
    return local.residual - local.noise + _apply(a, local.noise), _apply(a, local.error - local.noise)


def square_terms(local: Local, exact: bool, metric: Float[np.ndarray, "n dim dim"]) -> Rows:
    """Coefficients in beta of E[|R(beta)|^2_G | x_t], r_theta included: the second moment of a gradient over 4."""
    start, slope = mean_residual(local, exact)
    own = np.stack(
        [_form(metric, start, start), 2 * _form(metric, start, slope), _form(metric, slope, slope)], axis=1
    )
    if not exact:
        return own
    unbiased = local._replace(error=np.zeros_like(local.error))
    return own + error_terms(unbiased, exact, metric)


def weighted_trace(g, left, sigma, right) -> Each:
    """Tr(G L Sigma R^T) of each example."""
    return np.einsum("nij,njk,nkl,nil->n", g, left, sigma, right, optimize=True)


def _apply(matrices, vectors) -> Float[np.ndarray, "n dim"]:
    return np.einsum("nij,nj->ni", matrices, vectors)


def _form(g, left, right) -> Each:
    return np.einsum("ni,nij,nj->n", left, g, right)
