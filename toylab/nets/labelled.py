"""A net and a class: what methods, proxies and samplers see, so that none of them knows of labels."""

from typing import cast

import equinox as eqx

from toylab.types import Label, LabelledNet, Point, Scalar, TwoHeadedNet


class OfClass(eqx.Module):
    """u(x, r, t) of one class.

    Args:
        net: of all classes.
        label: the class; the number of classes stands for all of them together.
    """

    net: LabelledNet
    label: Label

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """Average velocity of the class."""
        return self.net(x, r, t, self.label)

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """The average velocity and the second head's velocity, of the class (``label`` is not asked again)."""
        return cast(TwoHeadedNet, self.net).with_velocity(x, r, t, self.label)


class Guided(eqx.Module):
    """u_all + scale (u_class - u_all): away from what all classes have in common, in twice the evaluations.

    Source: Ho and Salimans 2022 (ho2022classifier), on the average velocity.
    """

    net: LabelledNet
    label: Label
    scale: Scalar

    def __call__(self, x: Point, r: Scalar, t: Scalar) -> Point:
        """The guided average velocity."""
        of_all = self.net(x, r, t)
        return of_all + self.scale * (self.net(x, r, t, self.label) - of_all)
