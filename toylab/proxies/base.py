"""Base class of proxies: estimates of the marginal velocity at a point."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, cast

import equinox as eqx
import jax

from toylab.data import AbstractDataset
from toylab.nets import OfClass
from toylab.registry import Registry
from toylab.types import Label, LabelledNet, Pairs, Point, Points, Scalar, VelocityNet


class Context(NamedTuple):
    """Inputs of a loss besides its own example. A training loop of your own fills in the fields that it has."""

    net: VelocityNet
    """The trained net u(x, r, t), the only one that receives gradients."""
    net_ema: VelocityNet
    """Moving average of the net."""
    dataset: AbstractDataset | None = None
    """The data distribution, for the proxy ``oracle``."""
    reference: Points | None = None
    """Fresh data points shared by the batch, for proxies that declare ``num_reference``."""
    net_teacher: VelocityNet | None = None
    """A second copy of the net, frozen or moving, for methods that declare one."""
    pairs: Pairs | None = None
    """Pairs (x0, eps) made by the teacher, for methods that declare ``num_pairs``."""
    progress: Scalar | float = 0.0
    """Share of training done, in [0, 1]."""
    velocity: Point | None = None
    """u(x_t, t, t) of the example, if the loop has evaluated it already."""

    def of_class(self, label: Label | None) -> "Context":
        """The context of an example of class ``label``: its nets are conditioned on the class. Itself for None."""
        if label is None:
            return self
        net, net_ema, net_teacher = (
            None if net is None else OfClass(cast(LabelledNet, net), label)
            for net in (self.net, self.net_ema, self.net_teacher)
        )
        return self._replace(net=net, net_ema=net_ema, net_teacher=net_teacher)


class AbstractProxy(eqx.Module):
    """An estimate v_hat of the marginal velocity v(x, t) = E[eps - x0 | x_t = x]; no gradient flows through it.

    A proxy used in the tangent, in the target, or in both gives three different methods.
    """

    formula: ClassVar[str] = ""
    """v_hat in LaTeX."""
    uses_net: ClassVar[bool] = False
    """Whether it is built from the trained net: such a proxy cannot supervise itself at r = t."""
    uses_pair: ClassVar[bool] = False
    """Whether it uses the example's own (x0, eps): such a proxy is no function of x_t, and its error has noise."""
    follows_coupling: ClassVar[bool] = True
    """False if it is the velocity of INDEPENDENT data and noise, which is wrong for pairs made by a teacher."""
    num_reference: int = eqx.field(default=0, init=False, static=True)
    """Fresh data points that it needs per batch."""

    def __call__(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """v_hat at the point ``x_t`` of time ``t``, interpolated between ``x0`` and ``eps``, without gradient."""
        # The proxy enters the tangent and the target, which are constants of the loss. A gradient through it would
        # train the net (or its data) to make the proxy agree with the target.
        return jax.lax.stop_gradient(self.estimate(x_t, t, x0, eps, context))

    @abstractmethod
    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """v_hat, differentiable; only `__call__` stops the gradient."""


proxies: Registry[AbstractProxy] = Registry("proxy", "toylab.proxies")
