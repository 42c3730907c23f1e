"""Rules that compute beta from measurements: of the batches of the run, or exactly at the point x_t.

`Population` and `Binned` keep moving averages over batches. `PerSample` and `MatrixCoefficient` use the Jacobian of the
net at the point (`PerSample` the exact covariance of the dataset too), which is feasible in few dimensions only.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from toylab.coefficients.base import AbstractCoefficient, Observations, Situation, coefficients
from toylab.types import AnyArray, Count, Matrix, Scalar

# A denominator up to this counts as zero (r = t, or no row yet) and beta keeps its default, instead of 0 / 0.
TINY = 1e-12


@coefficients.register("population", citation="lu2026variance")
class Population(AbstractCoefficient):
    r"""beta = - E[R(0) . A w] / E[|A w|^2], both expectations as moving averages over batches.

    The residual of a row is R(beta) = R(0) + beta A w with A = (t - r) d_x u and w = v_hat - v_cond. The loss is a
    quadratic in beta, and this rule is its minimiser: the exact population optimum of the output-space variance, up to
    the part of R(0) that is not noise. It needs neither Sigma nor a probe, but two tangents on the share
    ``observed_share`` of the rows.

    Args:
        beta: value before the first batch, and where the average of |A w|^2 vanishes.
        decay: decay of the moving averages; 0.99 averages over about a hundred batches.
        low: smallest beta.
        high: largest beta.

    Source: the minimiser of the exact f(beta) (DESIGN, section 9); the scalar optimum of Lu and Wang 2026 replaces its
    expectations by assumptions. Confidence: own construction.
    """

    formula: ClassVar[str] = (
        r"\beta = -\frac{\mathrm{E}[R(0) \cdot A w]}{\mathrm{E}\, |A w|^2},\quad "
        r"A = (t-r)\, \partial_x u,\; w = \hat v - v_{\rm cond}"
    )
    observed_share: ClassVar[float] = 0.25

    beta: float = eqx.field(default=1.0, converter=float)
    decay: float = eqx.field(default=0.99, converter=float)
    low: float = eqx.field(default=-1.0, converter=float)
    high: float = eqx.field(default=2.0, converter=float)

    def __check_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {self.decay}")
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} lies above high {self.high}")

    def init_memory(self) -> Float[AnyArray, "2 bins"]:
        """Moving averages of R(0) . A w and |A w|^2."""
        return jnp.zeros((2, self.num_bins), jnp.float32)

    @property
    def num_bins(self) -> int:
        """Number of cells of (r, t) with a coefficient of their own."""
        return 1

    def bin_of(self, r: Scalar, t: Scalar) -> Count:
        """Index of the cell of a pair of times."""
        return jnp.zeros((), jnp.int32)

    def remember(
        self, memory: Float[AnyArray, "2 bins"], observed: Observations
    ) -> Float[AnyArray, "2 bins"]:
        """Moving averages updated with the sums of the batch in each cell."""
        cells = jax.vmap(self.bin_of)(observed.r, observed.t)
        rows = jnp.stack([observed.cross, observed.square]).astype(memory.dtype)
        sums = jnp.zeros_like(memory).at[:, cells].add(rows) / observed.t.shape[0]
        # A sum that is not finite would make the average NaN for the rest of training: skip such a batch.
        sums = jnp.where(jnp.all(jnp.isfinite(sums)), sums, memory)
        return self.decay * memory + (1 - self.decay) * sums

    def __call__(self, at: Situation) -> Scalar:
        """The estimate for the cell of (r, t)."""
        cross, square = at.memory[:, self.bin_of(at.r, at.t)]
        estimate = jnp.where(square > TINY, -cross / jnp.maximum(square, TINY), self.beta)
        return jnp.clip(estimate, self.low, self.high).astype(at.t.dtype)


@coefficients.register("binned")
class Binned(Population):
    """Estimates the best beta separately in each cell of a (gap, t) grid.

    The estimate of a cell is that of `Population`; the gap is t - r.

    Args:
        beta: value of a cell before its first row.
        decay: decay of the moving averages.
        low: smallest beta.
        high: largest beta.
        gaps: cells along the gap t - r.
        times: cells along t.

    Source: own construction; the optimum of DESIGN, section 9, conditional on the times.
    """

    formula: ClassVar[str] = (
        r"\beta(r, t) = -\frac{\mathrm{E}[R(0) \cdot A w \mid \text{cell of } (t-r,\, t)]}"
        r"{\mathrm{E}[\,|A w|^2 \mid \text{cell}]}"
    )

    gaps: int = eqx.field(default=4, static=True)
    times: int = eqx.field(default=4, static=True)

    def __check_init__(self):
        for name, count in (("gaps", self.gaps), ("times", self.times)):
            if not (isinstance(count, int) and 1 <= count <= 64):
                raise ValueError(f"{name} must be a whole number in [1, 64], got {count!r}")

    @property
    def num_bins(self) -> int:
        """Cells of the grid."""
        return self.gaps * self.times

    def bin_of(self, r: Scalar, t: Scalar) -> Count:
        """Index of the cell of (t - r, t)."""
        gap_cell = jnp.clip(((t - r) * self.gaps).astype(jnp.int32), 0, self.gaps - 1)
        time_cell = jnp.clip((t * self.times).astype(jnp.int32), 0, self.times - 1)
        return gap_cell * self.times + time_cell


@coefficients.register("per_sample")
class PerSample(AbstractCoefficient):
    r"""beta(x) = - Tr((I - A) Sigma A^T) / Tr(A Sigma A^T), clipped: the best coefficient of each single point.

    A = (t - r) d_x u(x_t, r, t) by dim tangents of the net, Sigma = Cov[v_cond | x_t] from the dataset. The bias of the
    proxy is ignored. Beta depends on x_t alone and not on the noise of the example, so that the target stays unbiased.

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

    Without shrinkage B = -A^{-1} (I - A) cancels all noise, and with it the information of the example: the target then
    contains the proxy only. Shrinkage keeps B finite where A is singular, and near beta I where the noise is small.
    With Sigma = s I the minimiser is (A^T A + k I)^{-1} (k beta I - A^T (I - A)), k = shrinkage. This form is used; it
    ignores the anisotropy of Sigma.

    Args:
        beta: multiple of the identity that B is shrunk towards.
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
