"""SoFlow: MeanFlow by a finite step that shrinks during training."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import discrete_target, squared_norm
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("soflow", citation="luo2025soflow")
class SoFlow(AbstractRegression):
    r"""Regression on a target that takes the share rho of the way by v_cond and the rest by the net.

    pair_loss = scale rho w(|u - sg[rho v + (1 - rho) u(x_l, r, l)]|^2 / rho^2), l = t - rho (t - r), with
    rho = start decay^progress. The target is AlphaFlow's at alpha = rho. The published loss is linear in u with the
    gradient w' (u - target) / rho: half that of a square, which is scale = 1/2, so that rows with r = t weigh twice.

    Args:
        target: proxy in the place of v in the target; conditional by default.
        weight: adaptive weight of each example's loss, of the residual divided by rho.
        anchor: small-gap flow matching on every row, or None.
        start: rho at the start of training, in (0, 1].
        decay: factor on rho over the whole of training.
        scale: factor on rows with r < t; 1 makes them weigh as much as rows with r = t.

    Source: Luo et al. 2025, arXiv:2512.15657 (luo2025soflow). Confidence: high. The published times (two different
    logit-normals for r and t) have no counterpart here.
    """

    changes: ClassVar[tuple[Part, ...]] = ("target", "jacobian")
    formula: ClassVar[str] = (
        r"\frac{1}{2\rho} |u - \mathrm{sg}[\rho v_{\rm cond} + (1-\rho)\, u(x_l, r, l)]|^2,\quad l = t - \rho (t-r)"
    )
    unbiased: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"p_equal": 0.75, "adaptive_power": 1.0, "adaptive_constant": 0.02}
    )

    start: float = eqx.field(default=0.1, converter=float)
    decay: float = eqx.field(default=0.02, converter=float)
    scale: float = eqx.field(default=0.5, converter=float)

    def __check_init__(self):
        if not 0 < self.start <= 1:
            raise ValueError(f"start must lie in (0, 1], got {self.start}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must lie in (0, 1], got {self.decay}")

    def rho(self, progress: Scalar | float) -> Scalar:
        """The step at a share of training."""
        return self.start * self.decay ** jnp.asarray(progress)

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Regression on the discrete target; beta plays no part."""
        rho = self.rho(context.progress).astype(example.t.dtype)
        target = discrete_target(context.net, example, self.pair_target(example, context), rho)
        residual = (context.net(example.x_t, example.r, example.t) - target) / rho
        return self.scale * rho * self.weight(squared_norm(residual))
