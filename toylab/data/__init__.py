"""Datasets: distributions with seeded samplers, declared moments and exact marginal velocities. One file each."""

from toylab.data.base import AbstractDataset, Modes, Moments, datasets

__all__ = ["AbstractDataset", "Modes", "Moments", "datasets"]
