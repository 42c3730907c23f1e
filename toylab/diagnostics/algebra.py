r"""Quadratics in beta from the terms of examples, in float64 on the host.

For a proxy that is a function of x_t the expectation over v' given x_t is taken exactly, with Sigma; a proxy that
looks at the example's own pair (conditional, batch posterior) has an error correlated with v', and keeps its draw.
"""

import numpy as np
from jaxtyping import Float

from toylab.diagnostics.local import Local, Vectors

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
