"""Coefficients of one point: the best beta, or the best matrix, at each x_t. Exact, so only where Sigma is known."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.coefficients.base import AbstractCoefficient, Situation, coefficients
from toylab.types import Matrix, Scalar

TINY = 1e-12


@coefficients.register("per_sample")
class PerSample(AbstractCoefficient):
    r"""beta(x) = - Tr((I - A) Sigma A^T) / Tr(A Sigma A^T), clipped: the best coefficient of each single point.

    A = (t - r) d_x u(x_t, r, t) by dim tangents of the net, Sigma = Cov[v_cond | x_t] from the dataset. The proxy's
    bias is left out. It depends on x_t alone and not on the noise of the example, so the target stays unbiased.

    Args:
        beta: value where A Sigma vanishes (r = t).
        low: smallest beta.
        high: largest beta.

    Source: the minimiser of the exact f(beta) (DESIGN, section 9) at one point. Confidence: own construction.
    """

    formula: ClassVar[str] = (
        r"\beta(x) = -\frac{\mathrm{Tr}\, (I-A)\, \Sigma A^\top}{\mathrm{Tr}\, A \Sigma A^\top},\quad "
        r"A = (t-r)\, \partial_x u"
    )
    local: ClassVar[bool] = True

    beta: float = eqx.field(default=1.0, converter=float)
    low: float = eqx.field(default=0.0, converter=float)
    high: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")

    def __call__(self, at: Situation) -> Scalar:
        """The clipped optimum at the point."""
        a, sigma = local_noise(at)
        noise = jnp.trace(a @ sigma @ a.T)
        cross = jnp.trace((jnp.eye(len(a), dtype=a.dtype) - a) @ sigma @ a.T)
        estimate = jnp.where(noise > TINY, -cross / jnp.maximum(noise, TINY), self.beta)
        return jnp.clip(estimate, self.low, self.high)


@coefficients.register("matrix", citation="lu2026variance")
class MatrixCoefficient(AbstractCoefficient):
    r"""B(x) = argmin_B Tr(N Sigma N^T) + shrinkage Tr(Sigma) |B - beta I|^2 / dim with N = I - A + A B.

    Without shrinkage B = -A^{-1} (I - A) cancels all noise, and with it the information of the example: the target
    becomes the proxy's. Shrinkage keeps B finite where A is singular and near beta I where the noise is small. With
    Sigma = s I the minimiser is (A^T A + k I)^{-1} (k beta I - A^T (I - A)), k = shrinkage; that form is used, with
    Sigma's anisotropy left out.

    Args:
        beta: the multiple of the identity that B is drawn to.
        shrinkage: positive.

    Source: the matrix coefficient of Lu and Wang 2026 (lu2026variance), regularised. Confidence: own construction.
    """

    formula: ClassVar[str] = (
        r"B(x) = (A^\top A + k I)^{-1} (k \beta I - A^\top (I - A)),\quad A = (t-r)\, \partial_x u"
    )
    local: ClassVar[bool] = True

    beta: float = eqx.field(default=1.0, converter=float)
    shrinkage: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not self.shrinkage > 0:
            raise ValueError(f"shrinkage must be positive, got {self.shrinkage}")

    def __call__(self, at: Situation) -> Matrix:
        """The shrunk optimum at the point."""
        assert at.gap_jacobian is not None
        a = at.gap_jacobian()
        eye = jnp.eye(len(a), dtype=a.dtype)
        pull = self.shrinkage * self.beta * eye - a.T @ (eye - a)
        return jnp.linalg.solve(a.T @ a + self.shrinkage * eye, pull)


def local_noise(at: Situation) -> tuple[Matrix, Matrix]:
    """A and Sigma at the point."""
    assert at.gap_jacobian is not None
    assert at.covariance is not None
    return at.gap_jacobian(), at.covariance()
