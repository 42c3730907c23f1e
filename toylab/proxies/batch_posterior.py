"""Posterior mean over a reference batch."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.proxies.base import AbstractProxy, Context, proxies
from toylab.types import Point, Scalar


@proxies.register("batch_posterior", citation="xu2023stable")
class BatchPosterior(AbstractProxy):
    r"""v_hat = (x_t - sum_j w_j x0_j) / t with w_j proportional to exp(-|x_t - (1-t) x0_j|^2 / (2 t^2)).

    The sum runs over the example's own x0 and ``num_reference`` fresh data points (self-normalised importance
    weights): consistent as the reference grows, near exact in 2-D, useless in high dimension.

    Source: Xu, Tong, Jaakkola 2023, stable target field.
    """

    formula: ClassVar[str] = (
        r"\hat v = \frac{x_t - \sum_j w_j\, x_{0,j}}{t},\quad "
        r"w_j \propto \exp\Big(-\frac{|x_t - (1-t)\, x_{0,j}|^2}{2 t^2}\Big)"
    )
    uses_pair: ClassVar[bool] = True
    follows_coupling: ClassVar[bool] = False
    num_reference: int = eqx.field(default=512, static=True)

    def __check_init__(self):
        if not (isinstance(self.num_reference, int) and 1 <= self.num_reference <= 65_536):
            raise ValueError(
                f"num_reference must be a whole number in [1, 65536], got {self.num_reference!r}"
            )

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """Average of the candidates' velocities (x_t - x0_j) / t by their posterior weights."""
        if context.reference is None:
            raise ValueError("the batch_posterior proxy needs reference points")
        # Weights and velocities relative to the example's own pair: (x_t - x0_j) / t = v_cond + (x0 - x0_j) / t stays
        # exact as t -> 0, where every weight but the own one vanishes.
        shifts = x0 - context.reference
        own = jnp.sum(eps**2)
        distances = jnp.sum((eps + (1 - t) / t * shifts) ** 2, axis=-1)
        weights = jax.nn.softmax(jnp.append(-0.5 * distances, -0.5 * own))[:-1]
        return eps - x0 + weights @ shifts / t
