"""The Frechet distance between the Gaussians that fit two sets of features."""

import os
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.storage.untrusted import one_line, read_layout

NAMES = (("mu", "sigma"), ("ref_mu", "ref_sigma"))
"""Names under which files of statistics hold a mean and a covariance."""


class Gaussian(NamedTuple):
    """Mean and covariance of features, float64."""

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
    r"""Squared Wasserstein-2 distance between two Gaussians, the number that FID reports of Inception's features.

        d^2 = |mu_1 - mu_2|^2 + Tr(S_1 + S_2 - 2 (S_1^1/2 S_2 S_1^1/2)^1/2)

    Both roots are of symmetric matrices, so that eigenvalues are real and those below zero are rounding. Of samples
    it is biased upwards by order 1 / n: compare it at equal n, and with its floor. Sources: Dowson and Landau 1982
    (dowson1982frechet), Heusel et al. 2017 (heusel2017gans).

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
    # Equal Gaussians give zero up to rounding, of either sign.
    return max(float(shift + traces - 2 * np.sum(np.sqrt(np.maximum(shared, 0)))), 0.0)


def read_gaussian(path: str | os.PathLike, dim: int) -> Gaussian:
    """Mean and covariance of the features of a reference, from an npz with mu (dim,) and sigma (dim, dim).

    ref_mu and ref_sigma are taken too; other arrays in the file are refused.

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
