"""Flow matching: the classical baseline, sampled by an ODE solver."""

from typing import ClassVar, Literal

import equinox as eqx
import jax

from toylab.methods.base import AbstractMethod, Beta, Example, Part, methods
from toylab.methods.terms import AdaptiveWeight, squared_norm
from toylab.proxies import AbstractProxy, Context
from toylab.proxies.builtin import Conditional
from toylab.types import Scalar


@methods.register("flow_matching", citation="lipman2023flow")
class FlowMatching(AbstractMethod):
    """Regression of u(x_t, t, t) on the conditional velocity (or a proxy); beta plays no part.

    Args:
        target: regression target; conditional by default. A proxy built from the net cannot supervise itself.
        weight: adaptive weight of each example's loss.

    Raises:
        ValueError: a target made of the net.

    Source: Lipman et al. 2023, arXiv:2210.02747. Confidence: high.
    """

    uses_pairs: ClassVar[bool] = False
    changes: ClassVar[tuple[Part, ...]] = ("jacobian",)
    formula: ClassVar[str] = r"|u(x_t, t, t) - v_{\rm cond}|^2"
    sampler: ClassVar[Literal["average_velocity", "ode"]] = "ode"
    eval_nfe: ClassVar[int] = 32  # one step of an ODE solver leads to the mean of the data

    target: AbstractProxy = eqx.field(default_factory=Conditional)
    weight: AdaptiveWeight = eqx.field(default_factory=AdaptiveWeight)

    def __check_init__(self):
        if self.target.uses_net:
            raise ValueError(
                "flow_matching cannot use its own net as target; choices: batch_posterior, conditional, oracle"
            )

    @property
    def num_reference(self) -> int:
        """Number that the proxy of the target needs."""
        return self.target.num_reference

    def pair_loss(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The same as at r = t: the earlier time is ignored."""
        return self.equal_loss(example, context)

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """|u(x_t, t, t) - v_target|^2, weighted."""
        x0, eps, t = example.x0, example.eps, example.t
        v_target = jax.lax.stop_gradient(self.target(example.x_t, t, x0, eps, context))
        return self.weight(squared_norm(context.net(example.x_t, t, t) - v_target))
