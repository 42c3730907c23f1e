"""The exact marginal velocity of the dataset."""

from typing import ClassVar

from toylab.proxies.base import AbstractProxy, Context, proxies
from toylab.types import Point, Scalar


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
