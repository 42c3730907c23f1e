"""Lanes with different data in one program.

For accelerators: a program per dataset would be one more to compile, and would leave the device idle between the small
kernels of few lanes.
"""

from collections.abc import Hashable, Sequence

import equinox as eqx
import jax
import numpy as np

from toylab.data.choice import choices
from toylab.devices import parallel
from toylab.training.experiment import Experiment, structure

MAX_MIXED_BYTES = 65_536
"""Datasets with more bytes of arrays are not mixed: every lane of the program would hold the arrays of all."""


def program_of(experiment: Experiment) -> Hashable:
    """Key of the compiled program on the available devices: experiments with equal keys can be lanes of one program.

    On a CPU every lane runs by itself, and its data are part of its program. Where lanes are batched, points without
    classes of the same dimension can differ from lane to lane, unless their arrays are large.
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
    """Experiments that differ only in their data as experiments of one structure; others unchanged.

    Each draws the same numbers as it does alone.
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
    """Key of a dataset: its structure and its numbers."""
    leaves, treedef = jax.tree.flatten(experiment.dataset)
    return treedef, tuple((leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes()) for leaf in leaves)


def _size(experiment: Experiment) -> int:
    """Bytes of a dataset's arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(experiment.dataset, eqx.is_array)))
