"""Datasets: distributions with seeded samplers, declared moments and exact velocities. One file each."""

from typing import Any

from toylab.data.base import AbstractDataset, Modes, Moments, datasets

__all__ = ["AbstractDataset", "Modes", "Moments", "dataset", "datasets"]


def dataset(name: str, **options: Any) -> AbstractDataset:
    """The dataset called ``name``, for example ``dataset("two_gaussians", separation=8.0)``.

    Raises:
        ValueError: unknown name or option, or a bad value; one line that names the choices.
    """
    return datasets.create(name, options)
