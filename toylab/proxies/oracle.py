"""The exact marginal velocity of the dataset."""

from toylab.proxies.base import AbstractProxy, ProxyInputs, proxies
from toylab.types import Point, Scalar


@proxies.register("oracle")
class OracleVelocity(AbstractProxy):
    """v_hat = v(x_t, t) exactly: no bias and no noise, which no real problem offers. The upper bound of every proxy."""

    def __call__(self, x_t: Point, t: Scalar, x0: Point, eps: Point, inputs: ProxyInputs) -> Point:
        """v(x_t, t) from the dataset."""
        return inputs.dataset.velocity(x_t, t)
