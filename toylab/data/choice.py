"""Several distributions as one structure, so that lanes with different data can share a compiled program."""

from collections.abc import Sequence

import jax
import numpy as np

from toylab.data.base import AbstractDataset, Modes, Moments, Place
from toylab.types import Count, Labels, Matrix, Point, Points, PRNGKey, Scalar


class Choice(AbstractDataset):
    """The distribution number ``index`` of ``members``.

    Where lanes are batched every member is drawn from and one is kept: cheap for points in the plane, beside a net. The
    exact velocity, where a method asks for it, costs that of all members.

    Args:
        members: of one dimension, without classes.
        index: which of them it is; a leaf, so that lanes may differ in it.
    """

    members: tuple[AbstractDataset, ...]
    index: Count | int

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return self.members[0].dim

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: those that the member draws with this key."""
        return jax.lax.switch(self.index, [lambda key, it=it: it.draw(key, n) for it in self.members], key)

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """The batch that the member draws with this key, which may be no ``n`` independent points; no classes."""
        batches = [lambda key, it=it: it.draw_labelled(key, n, place)[0] for it in self.members]
        return jax.lax.switch(self.index, batches, key), None

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Those of the member."""
        # Bound methods would be hashed, and arrays have no hash.
        branches = [lambda x, t, it=it: it.velocity_moments(x, t) for it in self.members]
        return jax.lax.switch(self.index, branches, x, t)

    def moments(self) -> Moments:
        """Those of the member."""
        return self._member.moments()

    def modes(self) -> Modes | None:
        """Those of the member."""
        return self._member.modes()

    @property
    def _member(self) -> AbstractDataset:
        return self.members[int(self.index)]


def choices(members: Sequence[AbstractDataset]) -> list[Choice]:
    """Each of ``members`` as a choice of all of them: datasets of one structure.

    Raises:
        ValueError: images, classes, or points of different dimensions.
    """
    shapes = {member.shape for member in members}
    if len(shapes) != 1 or any(shape.image or shape.num_classes for shape in shapes):
        raise ValueError("only points of one dimension, without classes, can share a program")
    return [Choice(tuple(members), np.asarray(index, np.int32)) for index in range(len(members))]
