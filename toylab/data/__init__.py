"""Datasets: distributions with seeded samplers, declared moments and exact velocities."""

from collections.abc import Mapping
from typing import Any

from toylab.data.base import AbstractDataset, Modes, Moments, Place, datasets
from toylab.data.images import image_sets

__all__ = ["AbstractDataset", "Modes", "Moments", "Place", "create_dataset", "dataset", "datasets"]


def dataset(name: str, **options: Any) -> AbstractDataset:
    """The dataset called ``name``, for example ``dataset("two_gaussians", separation=8.0)``.

    Raises:
        ValueError: unknown name or option, or a bad value; one line that names the choices.
    """
    return create_dataset(name, options)


def create_dataset(name: str, options: Mapping[str, Any] | None = None) -> AbstractDataset:
    """The distribution of points or the set of images called ``name``.

    Raises:
        ValueError: unknown name or option, or a bad value; one line that names the choices.
    """
    if name in image_sets.names():
        return image_sets.create(name, options)
    if name not in datasets.names():
        choices = ", ".join([*datasets.names(), *image_sets.names()])
        raise ValueError(f"unknown dataset {name!r}; choices: {choices}")
    return datasets.create(name, options)
