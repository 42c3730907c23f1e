"""What a proxy is: an estimate of the marginal velocity at a point."""

from abc import abstractmethod
from typing import ClassVar, NamedTuple, cast

import equinox as eqx
import jax

from toylab.data import AbstractDataset
from toylab.nets import OfClass
from toylab.registry import Registry
from toylab.types import Label, LabelledNet, Pairs, Point, Points, Scalar, VelocityNet


class Context(NamedTuple):
    """All that a loss may look at besides its own example. In a training loop of your own, fill in what you have."""

    net: VelocityNet
    """The trained net u(x, r, t); gradients flow through it alone."""
    net_ema: VelocityNet
    """Its moving average."""
    dataset: AbstractDataset | None = None
    """The data distribution, for what is exact only in 2-D: the proxy ``oracle``."""
    reference: Points | None = None
    """Fresh data points shared by the batch, for proxies that declare ``num_reference``."""
    net_teacher: VelocityNet | None = None
    """A second copy of the net, frozen or moving, for methods that declare one."""
    pairs: Pairs | None = None
    """Pairs (x0, eps) made by the teacher, for methods that declare ``num_pairs``."""
    progress: Scalar | float = 0.0
    """Share of training done, in [0, 1]."""
    velocity: Point | None = None
    """u(x_t, t, t) of the example at hand, where the loop has evaluated it already."""

    def of_class(self, label: Label | None) -> "Context":
        """The context of an example of this class: its nets are those of the class. Without a label, itself."""
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
    """Whether it is made of the trained net: such a proxy cannot be its own target where r = t."""
    uses_pair: ClassVar[bool] = False
    """Whether it looks at the example's own (x0, eps): such a proxy is no function of x_t, and its error has noise."""
    follows_coupling: ClassVar[bool] = True
    """False where it is the velocity of INDEPENDENT data and noise, and so not of pairs that a teacher has made."""
    num_reference: int = eqx.field(default=0, init=False, static=True)
    """Fresh data points that it needs per batch."""

    def __call__(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """v_hat at the point ``x_t`` of time ``t``, which was made of the pair (x0, eps), without gradient."""
        return jax.lax.stop_gradient(self.estimate(x_t, t, x0, eps, context))

    @abstractmethod
    def estimate(self, x_t: Point, t: Scalar, x0: Point, eps: Point, context: Context) -> Point:
        """What the proxy says; the call stops the gradient, here and nowhere else."""


proxies: Registry[AbstractProxy] = Registry("proxy", "toylab.proxies")
