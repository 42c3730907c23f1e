"""Terminal velocity matching: the velocity at the END of a step of the average velocity."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import squared_norm, teacher_of
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("terminal_velocity_matching", citation="zhou2025terminal")
class TerminalVelocityMatching(AbstractRegression):
    r"""The end f = x_t - (t - r) u(x_t, r, t) of a step must move in r as the velocity there says.

    df/dr = u - (t - r) du/dr, and pair_loss = w(|df/dr - sg u_T(f, r, r)|^2), where u_T is a moving teacher, and no
    gradient flows through f into it. The derivative in r is not frozen: the gradient is of second order. Given x_t
    nothing is random, so rows with r < t carry no noise of the conditional velocity; the teacher's error at f is the
    bias, and at an exact teacher the residual of every example vanishes. The published second term, flow matching of
    the same weight, is what the rows with r = t contribute in our batches.

    Args:
        teacher_decay: decay of the moving average u_T, in [0, 1].
        detach: whether to freeze the derivative in r.
        target, weight, anchor: as in `AbstractRegression`; the target acts at r = t alone.

    Raises:
        ValueError: a teacher_decay outside [0, 1].

    Source: Zhou et al. 2025, arXiv:2511.19797. Confidence: high. Published times of the flow-matching term are drawn
    apart, logit-normal (-0.4, 1); ours are the later times of ``time_sampler``.
    """

    changes: ClassVar[tuple[Part, ...]] = ("target", "jacobian")
    formula: ClassVar[str] = (
        r"|u - (t-r)\, \partial_r u - \mathrm{sg}[u_T(f, r, r)]|^2,\; f = x_t - (t-r)\, u(x_t, r, t)"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"time_sampler": "gap_logit_normal", "p_equal": 0.5, "adaptive_power": 0.0, "optimizer": "adamw"}
    )

    teacher_decay: float = eqx.field(default=0.99, converter=float)
    detach: bool = eqx.field(default=False, static=True)

    def __check_init__(self):
        if not 0 <= self.teacher_decay <= 1:
            raise ValueError(f"teacher_decay must lie in [0, 1], got {self.teacher_decay}")

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Terminal velocity against the teacher's; beta plays no part."""
        x_t, r, t = example.x_t, example.r, example.t
        u, du_dr = jax.jvp(lambda earlier: context.net(x_t, earlier, t), (r,), (jnp.ones_like(r),))
        if self.detach:
            du_dr = jax.lax.stop_gradient(du_dr)
        # The teacher is evaluated at the end point, which must not be trained to move where the teacher is small.
        end = jax.lax.stop_gradient(x_t - (t - r) * u)
        velocity = jax.lax.stop_gradient(teacher_of(context)(end, r, r))
        return self.weight(squared_norm(u - (t - r) * du_dr - velocity))
