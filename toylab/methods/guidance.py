"""Classifier-free guidance inside the target: a guided velocity takes the place of the conditional one."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Example
from toylab.types import Point, Scalar


class Guidance(eqx.Module):
    """v_g = omega v_cond + (1 - omega - kappa) v_all + kappa v_class, without gradient.

    v_all and v_class are the net's own velocities u(x_t, t, t), of all classes together and of the example's class. A
    net that has learned v_g says v_class = v + (omega / (1 - kappa) - 1) (v - v_all), v the true velocity of the class:
    omega / (1 - kappa) is the scale of the guidance. The share kappa comes from a net that has averaged, and so spares
    noise.

    Args:
        scale: omega.
        mix: kappa; None for zero, where v_class is not needed.

    Source: Ho and Salimans 2022 (ho2022classifier); Geng et al. 2025, arXiv:2505.13447 (geng2025meanflow), appendix.
    """

    scale: Scalar | float
    mix: Scalar | float | None = None

    def __call__(self, example: Example, null_label: int, v_all: Point, v_class: Point) -> Example:
        """The example with v_g: same x_t, other ends, so that no method needs to know of guidance.

        Where the class is hidden (``null_label``) the example keeps its own velocity: it teaches the net v_all.
        """
        guided = self.scale * example.v_cond + (1 - self.scale) * v_all
        if self.mix is not None:
            guided = guided + self.mix * (v_class - v_all)
        hidden = example.label == null_label
        return example.with_velocity(jax.lax.stop_gradient(jnp.where(hidden, example.v_cond, guided)))
