"""The coefficient that minimises the batch's own loss, estimated while training."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from toylab.coefficients.base import AbstractCoefficient, Observations, Situation, coefficients
from toylab.types import AnyArray, Count, Scalar

TINY = 1e-12


@coefficients.register("population", citation="lu2026variance")
class Population(AbstractCoefficient):
    r"""beta = - E[R(0) . A w] / E[|A w|^2], both expectations as moving averages over batches.

    The residual of a row is R(beta) = R(0) + beta A w with A = (t - r) d_x u and w = v_hat - v_cond, so the loss is a
    quadratic in beta, and this is its minimiser: the exact population optimum of the output-space variance, up to the
    part of R(0) that is not noise. It needs neither Sigma nor a probe: two tangents on ``observed_share`` of the rows.

    Args:
        beta: value before the first batch, and what the averages are drawn to while they know little.
        decay: of the moving averages; 0.99 remembers about a hundred batches.
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
        """Cells of the times that have a coefficient of their own."""
        return 1

    def bin_of(self, r: Scalar, t: Scalar) -> Count:
        """The cell of a pair of times."""
        return jnp.zeros((), jnp.int32)

    def remember(
        self, memory: Float[AnyArray, "2 bins"], observed: Observations
    ) -> Float[AnyArray, "2 bins"]:
        """Averages moved towards the batch's sums in each cell."""
        cells = jax.vmap(self.bin_of)(observed.r, observed.t)
        rows = jnp.stack([observed.cross, observed.square]).astype(memory.dtype)
        sums = jnp.zeros_like(memory).at[:, cells].add(rows) / observed.t.shape[0]
        # One heavy row must not move the average beyond repair: a batch that is not finite leaves no trace.
        sums = jnp.where(jnp.all(jnp.isfinite(sums)), sums, memory)
        return self.decay * memory + (1 - self.decay) * sums

    def __call__(self, at: Situation) -> Scalar:
        """The estimate for the cell of (r, t)."""
        cross, square = at.memory[:, self.bin_of(at.r, at.t)]
        estimate = jnp.where(square > TINY, -cross / jnp.maximum(square, TINY), self.beta)
        return jnp.clip(estimate, self.low, self.high).astype(at.t.dtype)


@coefficients.register("binned")
class Binned(Population):
    """The same estimate in each cell of a grid over (gap, t): beta as a function of the times.

    Args:
        beta: value of a cell before its first row.
        decay: of the moving averages.
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
