"""Distances between two sets of features: the Frechet distance of their Gaussians, and the kernel distance."""

import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.storage.untrusted import one_line, read_layout

NAMES = (("mu", "sigma"), ("ref_mu", "ref_sigma"))
"""Names under which files of statistics hold a mean and a covariance."""
# Rows of the kernel matrix that are formed at once: 80 MB against 5,000 columns.
BLOCK_ROWS = 2048
# Rows that enter the kernel matrix. Of larger sets a random subset does, since time grows with their square.
MAX_ROWS = 5_000


class Gaussian(NamedTuple):
    """Mean and covariance of features, float64: float32 roots of covariances lose half of the digits."""

    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]


def fit_gaussian(features: ArrayLike) -> Gaussian:
    """Mean and unbiased covariance (n - 1 in the denominator) of ``features`` (n, dim).

    Raises:
        ValueError: fewer than two rows, or values that are not finite.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.all(np.isfinite(values)):
        raise ValueError(f"a Gaussian is fitted to at least 2 rows of finite features, got {values.shape}")
    return Gaussian(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    r"""Squared Wasserstein-2 distance between two Gaussians; with Inception's features it is FID.

        d^2 = |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1^1/2 S_2 S_1^1/2)^1/2)

    Both roots are of symmetric matrices, so that eigenvalues are real; negative ones are rounding errors and count as
    zero. The estimate from samples is biased upwards by order 1 / n: compare it at equal n, and with its floor.
    Sources: Dowson and Landau 1982 (dowson1982frechet), Heusel et al. 2017 (heusel2017gans).

    Raises:
        ValueError: dimensions that differ.

    >>> frechet_distance(Gaussian(np.zeros(1), np.eye(1)), Gaussian(np.ones(1), 4 * np.eye(1)))
    2.0
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"features have dimension {len(first.mean)}, the reference {len(second.mean)}")
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.linalg.eigvalsh(root @ second.covariance @ root)
    traces = np.trace(first.covariance) + np.trace(second.covariance)
    shift = np.sum((first.mean - second.mean) ** 2)
    # For equal Gaussians rounding may leave a small negative number.
    return max(float(shift + traces - 2 * np.sum(np.sqrt(np.maximum(shared, 0)))), 0.0)


def read_gaussian(path: str | os.PathLike, dim: int) -> Gaussian:
    """Mean and covariance of the features of a reference, from an npz with mu (dim,) and sigma (dim, dim).

    The names ref_mu and ref_sigma are accepted too. A file with other arrays is an error.

    Raises:
        ValueError: other arrays or shapes, a covariance that is not symmetric, or a damaged file; one line.
        FileNotFoundError: no such file.
    """
    problems = []
    for mean_name, covariance_name in NAMES:
        layout = {mean_name: (dim,), covariance_name: (dim, dim)}
        try:
            arrays = read_layout(path, layout, max_bytes=8 * (dim + 2) ** 2 + 4096)
        except ValueError as error:
            problems.append(one_line(error))
            continue
        covariance = np.asarray(arrays[covariance_name], np.float64)
        if not np.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-8 * float(np.abs(covariance).max())):
            raise ValueError(f"{path}: {covariance_name} is not symmetric")
        return Gaussian(np.asarray(arrays[mean_name], np.float64), covariance)
    raise ValueError(f"{path}: {problems[0]} (or, as ref_mu and ref_sigma: {problems[1]})")


def kernel_distance(
    first: Float[np.ndarray, "n dim"], second: Float[np.ndarray, "m _"], seed: int = 0
) -> float:
    r"""Unbiased squared maximum mean discrepancy with the cubic kernel k(x, y) = (x.y / dim + 1)^3.

        MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    Unlike the Frechet distance it has no bias in n: between sets of one distribution its expectation is zero, so that
    it may be negative. Of a set with more than 5,000 rows ``seed`` selects 5,000. Source: Binkowski et al. 2018
    (binkowski2018demystifying), who average over subsets.

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
