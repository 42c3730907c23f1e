"""Lanes with different data in one program: for accelerators, where a program per dataset is one more to compile, and
leaves the device idle between the small kernels of few lanes."""

from collections.abc import Hashable, Sequence

import equinox as eqx
import jax
import numpy as np

from toylab.data.choice import choices
from toylab.devices import parallel
from toylab.training.experiment import Experiment, structure

MAX_MIXED_BYTES = 65_536
"""Data with more numbers of their own have a program of their own: every lane would hold those of all."""


def program_of(experiment: Experiment) -> Hashable:
    """What must agree for two experiments to be trained by one program on the devices at hand.

    On a CPU every lane runs by itself, and its data are part of its program. Where lanes are batched, data in the plane
    (or any points without classes) of one dimension can differ from lane to lane, unless they are large.
    """
    shape = experiment.dataset.shape
    if (
        not parallel.batches_lanes()
        or shape.image
        or shape.num_classes
        or _size(experiment) > MAX_MIXED_BYTES
    ):
        return structure(experiment)
    return shape, structure(eqx.tree_at(lambda each: each.dataset, experiment, None))


def mixed(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Experiments that differ in their data alone as experiments of one structure; others as they are.

    Each draws the very numbers that it draws alone.
    """
    if len({structure(experiment) for experiment in experiments}) == 1:
        return list(experiments)
    if len({program_of(experiment) for experiment in experiments}) > 1:
        return list(experiments)
    datasets = {_identity(experiment): experiment.dataset for experiment in experiments}
    wrapped = dict(zip(datasets, choices(list(datasets.values())), strict=True))
    return [
        eqx.tree_at(lambda each: each.dataset, experiment, wrapped[_identity(experiment)])
        for experiment in experiments
    ]


def _identity(experiment: Experiment) -> Hashable:
    """What tells datasets apart: structure and numbers."""
    leaves, treedef = jax.tree.flatten(experiment.dataset)
    return treedef, tuple((leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes()) for leaf in leaves)


def _size(experiment: Experiment) -> int:
    """Bytes of the numbers that a dataset is made of."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(experiment.dataset, eqx.is_array)))
