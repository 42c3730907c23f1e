"""The conditional velocity itself: no proxy at all."""

from typing import ClassVar

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
