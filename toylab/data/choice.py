"""Several distributions as one structure, so that lanes with different data can share a compiled program."""

from collections.abc import Sequence

import jax
import numpy as np

from toylab.data.base import AbstractDataset, Modes, Moments, Place
from toylab.types import Count, Labels, Matrix, Point, Points, PRNGKey, Scalar


class Choice(AbstractDataset):
    """The distribution ``members[index]``.

    Under vmap over lanes every member is evaluated and one is kept. For points in the plane that is cheap compared with
    a net. The exact velocity, for methods that use it, costs the sum over all members.

    Args:
        members: distributions of one dimension, without classes.
        index: which member it is; a leaf of the pytree, so that lanes may differ in it.
    """

    members: tuple[AbstractDataset, ...]
    index: Count | int

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return self.members[0].dim

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points, drawn by the member with this key."""
        return jax.lax.switch(self.index, [lambda key, it=it: it.draw(key, n) for it in self.members], key)

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """The batch that the member draws with this key; its points may be dependent. No classes."""
        batches = [lambda key, it=it: it.draw_labelled(key, n, place)[0] for it in self.members]
        return jax.lax.switch(self.index, batches, key), None

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond, computed by the member."""
        # Lambdas, since lax.switch hashes its branches: a bound method hashes its module, and arrays have no hash.
        branches = [lambda x, t, it=it: it.velocity_moments(x, t) for it in self.members]
        return jax.lax.switch(self.index, branches, x, t)

    def moments(self) -> Moments:
        """Mean and covariance of the member."""
        return self._member.moments()

    def modes(self) -> Modes | None:
        """Modes of the member."""
        return self._member.modes()

    @property
    def _member(self) -> AbstractDataset:
        return self.members[int(self.index)]


def choices(members: Sequence[AbstractDataset]) -> list[Choice]:
    """Each of ``members`` as a `Choice` out of all of them: datasets of one pytree structure.

    Raises:
        ValueError: images, data with classes, or points of different dimensions.
    """
    shapes = {member.shape for member in members}
    if len(shapes) != 1 or any(shape.image or shape.num_classes for shape in shapes):
        raise ValueError("only points of one dimension, without classes, can share a program")
    return [Choice(tuple(members), np.asarray(index, np.int32)) for index in range(len(members))]
