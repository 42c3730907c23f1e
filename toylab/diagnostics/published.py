"""The closed-form coefficients of the paper, on measured matrices."""

from typing import NamedTuple

import numpy as np

from toylab.diagnostics.local import Local


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
