"""The trained net itself at r = t."""

from typing import ClassVar

from toylab.proxies.base import AbstractProxy, Context, proxies
from toylab.types import Point, Scalar


@proxies.register("online", citation="geng2025improved")
class Online(AbstractProxy):
    """v_hat = u(x_t, t, t) with the current parameters, no gradient: the head-free tangent of improved MeanFlow."""

    formula: ClassVar[str] = r"\hat v = \mathrm{sg}\, u(x_t, t, t)"
    uses_net: ClassVar[bool] = True

    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """u(x_t, t, t)."""
        return context.net(x_t, t, t)
