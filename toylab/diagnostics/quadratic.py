"""A population quadratic c0 + c1 beta + c2 beta^2, estimated from its values on examples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

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
