"""The kernel distance between two sets of features: like the Frechet distance, but without bias in n."""

import numpy as np
from jaxtyping import Float

BLOCK_ROWS = 2048
"""Rows of the kernel matrix that are formed at once: 80 MB against 5,000 columns."""
MAX_ROWS = 5_000
"""Rows that enter the kernel matrix; of larger sets a random part does, since time grows with their square."""


def kernel_distance(
    first: Float[np.ndarray, "n dim"], second: Float[np.ndarray, "m _"], seed: int = 0
) -> float:
    r"""Unbiased squared maximum mean discrepancy with the cubic kernel k(x, y) = (x.y / dim + 1)^3.

        MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    It is zero in expectation between sets of one distribution, so it may be negative. ``seed`` picks 5,000 rows of a
    larger set. Source: Binkowski et al. 2018 (binkowski2018demystifying), there as means over subsets.

    Raises:
        ValueError: fewer than two rows, or dimensions that differ.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"a kernel distance needs at least 2 rows a side, got {len(first)} and {len(second)}"
        )
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"features have dimension {first.shape[1]}, the reference {second.shape[1]}")
    random = np.random.default_rng(seed)
    x, y = (_part(np.asarray(each, np.float64), random) for each in (first, second))
    return _mean_between(x) + _mean_between(y) - 2 * _mean_kernel(x, y)


def _part(values: Float[np.ndarray, "n dim"], random: np.random.Generator) -> Float[np.ndarray, "k dim"]:
    return values if len(values) <= MAX_ROWS else values[random.choice(len(values), MAX_ROWS, replace=False)]


def _mean_between(x: Float[np.ndarray, "n dim"]) -> float:
    """Mean kernel over pairs i != j."""
    n, dim = x.shape
    diagonal = np.sum((np.sum(x**2, axis=1) / dim + 1) ** 3)
    return float((n * n * _mean_kernel(x, x) - diagonal) / (n * (n - 1)))


def _mean_kernel(x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "m dim"]) -> float:
    """Mean kernel over all pairs."""
    blocks = (x[start : start + BLOCK_ROWS] @ y.T for start in range(0, len(x), BLOCK_ROWS))
    return sum(float(np.sum((block / x.shape[1] + 1) ** 3)) for block in blocks) / (len(x) * len(y))
