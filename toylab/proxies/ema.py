"""The moving-average net at r = t."""

from typing import ClassVar

from toylab.proxies.base import AbstractProxy, Context, proxies
from toylab.types import Point, Scalar


@proxies.register("ema", citation="lu2026variance")
class EMA(AbstractProxy):
    """v_hat = u_EMA(x_t, t, t): deterministic given x_t, biased by what the average has not learned yet."""

    formula: ClassVar[str] = r"\hat v = u_{\rm EMA}(x_t, t, t)"
    uses_net: ClassVar[bool] = True

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """u_EMA(x_t, t, t)."""
        return context.net_ema(x_t, t, t)
