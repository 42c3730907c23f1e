"""SplitMeanFlow: consistency of an interval with its two parts, without a derivative."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax

from toylab.methods.base import Beta, Confidence, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import BOOTSTRAP_TEACHERS, bootstrap_net, squared_norm
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("split_meanflow", citation="guo2025splitmeanflow")
class SplitMeanFlow(AbstractRegression):
    r"""Regression of u over [r, t] on its own values over [s, t] and [r, s], s = (1 - l) t + l r.

    u2 = u(x_t, s, t), x_s = x_t - (t - s) u2, u1 = u(x_s, r, s), and pair_loss =
    w(|u(x_t, r, t) - sg[(1 - l) u1 + l u2]|^2): the semigroup property of the flow map. The
    conditional velocity enters at r = t alone (flow matching), so no row with r < t carries its noise. At an exact
    teacher the residual of every single example vanishes; before that the teacher's error is the bias, and what is
    learned at r = t travels outwards to wide gaps.

    Args:
        split: the share l of the interval next to t, in (0, 1); 0 draws l ~ U(0, 1) for each example.
        teacher: copy of the net behind u1 and u2, ``ema`` or ``online``. A slow average holds learning back: see
            `Shortcut`.
        target, weight, anchor: as in `AbstractRegression`; the target acts at r = t alone.

    Raises:
        ValueError: a split outside [0, 1), or an unknown teacher.

    Source: Guo et al. 2025, arXiv:2507.16884. Confidence: medium. The formula is sure; no official code is known, and
    ports disagree on the teacher and on the share of rows with r = t.
    """

    changes: ClassVar[tuple[Part, ...]] = ("target", "jacobian")
    formula: ClassVar[str] = r"|u(x_t, r, t) - \mathrm{sg}[(1-l)\, u(x_s, r, s) + l\, u(x_t, s, t)]|^2"
    confidence: ClassVar[Confidence] = "medium"
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"time_sampler": "uniform", "p_equal": 0.5, "adaptive_power": 0.0}
    )

    adapted: ClassVar[Mapping[str, Any]] = MappingProxyType({"method_options": {"teacher": "online"}})

    split: float = eqx.field(default=0.0, converter=float)
    teacher: str = eqx.field(default="ema", static=True)

    def __check_init__(self):
        if not 0 <= self.split < 1:
            raise ValueError(f"split must lie in [0, 1) (0 draws it), got {self.split}")
        if self.teacher not in BOOTSTRAP_TEACHERS:
            raise ValueError(f"unknown teacher {self.teacher!r}; choices: {', '.join(BOOTSTRAP_TEACHERS)}")

    @property
    def num_uniforms(self) -> int:
        """What the anchor needs, and one for l."""
        return super().num_uniforms + 1

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Consistency of [r, t] with [r, s] and [s, t]; beta plays no part."""
        x_t, r, t = example.x_t, example.r, example.t
        net = bootstrap_net(context, self.teacher)
        # A number, not a choice of structure: runs with a drawn and with fixed splits are lanes of one program.
        share = jax.numpy.where(self.split > 0, self.split, example.uniforms[-1])
        s = t - share * (t - r)
        u_later = net(x_t, s, t)
        u_earlier = net(x_t - (t - s) * u_later, r, s)
        u_target = jax.lax.stop_gradient((1 - share) * u_earlier + share * u_later)
        return self.weight(squared_norm(context.net(x_t, r, t) - u_target))
