"""What a proxy is: an estimate of the marginal velocity at a point."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import equinox as eqx

from toylab.data import AbstractDataset
from toylab.registry import Registry
from toylab.types import Point, Points, Scalar, VelocityNet


class ProxyInputs(NamedTuple):
    """All that an estimate may look at besides its own example."""

    net: VelocityNet
    net_ema: VelocityNet
    dataset: AbstractDataset
    reference: Points | None
    """Fresh data points shared by the batch, for proxies that declare ``num_reference``."""


class AbstractProxy(eqx.Module):
    """An estimate v_hat of the marginal velocity v(x, t) = E[eps - x0 | x_t = x]; no gradient flows through it.

    A proxy used in the tangent, in the target, or in both gives three different methods.
    """

    uses_net: ClassVar[bool] = False
    """Whether it is made of the trained net: such a proxy cannot be its own target where r = t."""
    num_reference: int = eqx.field(default=0, init=False, static=True)
    """Fresh data points that it needs per batch."""

    @abstractmethod
    def __call__(self, x_t: Point, t: Scalar, x0: Point, eps: Point, inputs: ProxyInputs) -> Point:
        """v_hat at the point ``x_t`` of time ``t``, which was made of the pair (x0, eps)."""


proxies: Registry[AbstractProxy] = Registry("proxy", "toylab.proxies")
