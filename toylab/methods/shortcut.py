"""Shortcut models: one step as two half steps of the moving average."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import squared_norm
from toylab.proxies import Context
from toylab.types import Point, Scalar

NUM_GAPS = 7
"""Gaps of the published grid: 1, 1/2, ..., 1/64."""
FINEST = 128
"""Its finest steps: flow matching is labelled with the gap 1/128 there."""


@methods.register("shortcut", citation="frans2024shortcut")
class Shortcut(AbstractRegression):
    r"""Regression of u over [r, t] on the mean of two half steps of the moving average.

    m = (r + t) / 2, u2 = u_EMA(x_t, m, t), x' = x_t - (t - r) u2 / 2, u1 = u_EMA(x', r, m), and pair_loss =
    w(|u(x_t, r, t) - (u1 + u2) / 2|^2). This is `SplitMeanFlow` in the middle with the moving average as teacher: no
    derivative, and no noise of the conditional velocity outside the rows with r = t.

    Times are those of the run, and the middle splits whatever gap they have. With ``grid`` they are replaced by the
    published ones: the gap d is one of 1, 1/2, ..., 1/64, t a multiple of d, and flow matching is done at multiples of
    1/128 under the label r = t - 1/128, which makes the finest steps those of Euler, a bias of order 1/128. Without the
    grid the residual of every example vanishes at an exact teacher.

    A target that lags behind slows learning down, a level of gaps at a time: with ``ema_decay`` 0.999 nothing has
    reached gap 1 after 3000 steps (eight_gaussians, one seed: sliced W1 1.11), with 0.99 it has (0.125).

    Args:
        grid: whether to use the published grid of gaps and times.
        clip: largest coordinate of a half step's end and of the target; 0 is off. The published 4 belongs to latents of
            unit scale: in 2-D it would cut off data as wide as `two_gaussians` with separation 8.
        target, weight, anchor: as in `AbstractRegression`; the target acts at r = t alone.

    Raises:
        ValueError: a negative clip.

    Source: Frans et al. 2024, arXiv:2410.12557, where time runs the other way. Confidence: high. Its code has 1/8
    bootstrapped rows, weight decay 0.1 (ours 0.01), and samples with the parameters, not their moving average.
    """

    changes: ClassVar[tuple[Part, ...]] = ("target", "jacobian")
    formula: ClassVar[str] = (
        r"|u(x_t, r, t) - \tfrac12 [u_{\rm EMA}(x', r, m) + u_{\rm EMA}(x_t, m, t)]|^2,\; m = \tfrac{r+t}{2}"
    )
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "p_equal": 0.875,
            "ema_decay": 0.999,
            "adaptive_power": 0.0,
            "optimizer": "adamw",
            "method_options": {"grid": True},
        }
    )

    adapted: ClassVar[Mapping[str, Any]] = MappingProxyType({"ema_decay": 0.99})

    grid: bool = eqx.field(default=False, static=True)
    clip: float = eqx.field(default=0.0, converter=float)

    def __check_init__(self):
        if not self.clip >= 0:
            raise ValueError(f"clip must be at least 0 (off), got {self.clip}")

    @property
    def num_uniforms(self) -> int:
        """What the anchor needs; with the grid a gap and a place for it."""
        return super().num_uniforms + (2 if self.grid else 0)

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Regression on two half steps; beta plays no part."""
        if self.grid:
            example = _on_grid(example)
        x_t, r, t = example.x_t, example.r, example.t
        middle, half = (r + t) / 2, (t - r) / 2
        u_later = context.net_ema(x_t, middle, t)
        u_earlier = context.net_ema(self._clipped(x_t - half * u_later), r, middle)
        u_target = jax.lax.stop_gradient(self._clipped((u_earlier + u_later) / 2))
        return self.weight(squared_norm(context.net(x_t, r, t) - u_target))

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching at r = t; on the grid under the label of its finest gap."""
        if not self.grid:
            return super().equal_loss(example, context)
        t = (1 + jnp.floor(FINEST * example.uniforms[0])) / FINEST
        net = context.net
        finest = context._replace(net=lambda x, _, time: net(x, time - 1 / FINEST, time))
        return super().equal_loss(example._replace(r=t, t=t), finest)

    def _clipped(self, x: Point) -> Point:
        limit = jnp.where(self.clip > 0, self.clip, jnp.inf)
        return jnp.clip(x, -limit, limit)


def _on_grid(example: Example) -> Example:
    """The example at times t = k d, r = (k - 1) d with a gap d = 2^-j of the grid."""
    num_steps = 2.0 ** jnp.floor(NUM_GAPS * example.uniforms[-2])
    t = (1 + jnp.floor(num_steps * example.uniforms[-1])) / num_steps
    return example._replace(r=t - 1 / num_steps, t=t)
