"""The built-in proxies: conditional velocity, nets at r = t, posterior mean over a batch, exact velocity."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.proxies.base import AbstractProxy, Context, proxies
from toylab.types import Point, Scalar, conditional_velocity


@proxies.register("conditional", citation="geng2025meanflow")
class Conditional(AbstractProxy):
    """v_hat = eps - x0: unbiased, with the full noise Sigma(x, t). As tangent it makes every beta vanilla MeanFlow."""

    formula: ClassVar[str] = r"\hat v = v_{\rm cond} = \epsilon - x_0"
    uses_pair: ClassVar[bool] = True

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """eps - x0."""
        return conditional_velocity(x0, eps)


@proxies.register("online", citation="geng2025improved")
class Online(AbstractProxy):
    """v_hat = u(x_t, t, t) with the current parameters, no gradient: the head-free tangent of improved MeanFlow."""

    formula: ClassVar[str] = r"\hat v = \mathrm{sg}\, u(x_t, t, t)"
    uses_net: ClassVar[bool] = True

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """u(x_t, t, t)."""
        return context.net(x_t, t, t)


@proxies.register("ema", citation="lu2026variance")
class EMA(AbstractProxy):
    """v_hat = u_EMA(x_t, t, t): deterministic given x_t, biased by what the average has not learned yet."""

    formula: ClassVar[str] = r"\hat v = u_{\rm EMA}(x_t, t, t)"
    uses_net: ClassVar[bool] = True

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """u_EMA(x_t, t, t)."""
        return context.net_ema(x_t, t, t)


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
        # Weights and velocities relative to the example's own pair: (x_t - x0_j) / t = v_cond + (x0 - x0_j) / t. As
        # t -> 0 all other weights vanish and v_cond remains, without the cancellation in x_t - x0_j.
        shifts = x0 - context.reference
        own = jnp.sum(eps**2)
        distances = jnp.sum((eps + (1 - t) / t * shifts) ** 2, axis=-1)
        weights = jax.nn.softmax(jnp.append(-0.5 * distances, -0.5 * own))[:-1]
        return eps - x0 + weights @ shifts / t


@proxies.register("oracle")
class OracleVelocity(AbstractProxy):
    """v_hat = v(x_t, t) exactly: no bias and no noise, which no real problem offers. The upper bound of every proxy."""

    formula: ClassVar[str] = r"\hat v = v(x_t, t) = \mathrm{E}[\epsilon - x_0 \mid x_t]"
    follows_coupling: ClassVar[bool] = False

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """v(x_t, t) from the dataset."""
        if context.dataset is None:
            raise ValueError("the oracle proxy needs the dataset")
        return context.dataset.velocity(x_t, t)
