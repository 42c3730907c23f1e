"""Where a method that learns from a copy of its own net finds that copy."""

from toylab.proxies import Context
from toylab.types import VelocityNet

BOOTSTRAP_TEACHERS = ("ema", "online")
"""Copies of the net that can give a bootstrapped target."""


def bootstrap_net(context: Context, teacher: str) -> VelocityNet:
    """The copy called ``teacher``; its caller stops the gradient."""
    return context.net_ema if teacher == "ema" else context.net


def teacher_of(context: Context) -> VelocityNet:
    """The second copy of the net.

    Raises:
        ValueError: the training loop keeps none.
    """
    if context.net_teacher is None:
        raise ValueError(
            "this method needs context.net_teacher, a second copy of the net (see teacher_decay)"
        )
    return context.net_teacher
