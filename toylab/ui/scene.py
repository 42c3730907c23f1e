"""Data of a run as pages show them before there is a job: points, the square around them, a name."""

import json
from collections.abc import Hashable
from functools import cache

import numpy as np
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.data import datasets
from toylab.data.points import num_kernels
from toylab.ui import ASSETS

Frame = tuple[float, float, float]
NUM_SHOWN = 1000


@cache
def _packaged() -> dict[str, list[list[float]]]:
    return json.loads((ASSETS / "points.json").read_text())


@cache
def packaged_points(name: str) -> Float[np.ndarray, "n 2"]:
    """About a thousand points of a dataset: packaged, or drawn now for one that was added since."""
    packaged = _packaged().get(name)
    if packaged is not None:
        return np.asarray(packaged, np.float32)
    return datasets.create(name).sample(1000, seed=1)


@cache
def _frame(name: str) -> tuple[float, float, float]:
    """The square that shows a dataset: centre x, centre y and half its side, with room for strays."""
    return square_around(packaged_points(name))


def square_around(points: Float[np.ndarray, "n 2"]) -> tuple[float, float, float]:
    """The square that shows ``points``: centre x, centre y and half its side, with room for strays."""
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    centre, half = (low + high) / 2, max(float(np.max(high - low)) / 2, 0.5)
    return float(centre[0].round(1)), float(centre[1].round(1)), round(half * 1.28, 1)


def points(config: RunConfig) -> Float[np.ndarray, "n 2"]:
    """About a thousand points of the data of ``config``, at a glance: nothing is compiled for those of a reader."""
    options = config.dataset_options
    if config.dataset == "points":
        own = np.asarray(options["array"], np.float32)
        # Every k-th: a drawing comes stroke by stroke.
        return own[:: -(-len(own) // NUM_SHOWN)]
    if config.dataset == "gaussian_mixture":
        return _mixture(options)
    if options:
        return datasets.create(config.dataset, options).sample(NUM_SHOWN, seed=1)
    return packaged_points(config.dataset)


def frame(config: RunConfig) -> Frame:
    """The square that shows the data of ``config``: centre x, centre y and half its side."""
    if not config.dataset_options:
        return _frame(config.dataset)
    return square_around(points(config))


def name(config: RunConfig) -> str:
    """The data of ``config`` in words."""
    if config.dataset == "points":
        return f"{len(config.dataset_options['array']):,} points of your own"
    if config.dataset == "gaussian_mixture":
        return f"a mixture of {len(config.dataset_options['means'])} Gaussians"
    return config.dataset


def same_data(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs learn the same distribution."""
    return (one.dataset, one.dataset_options) == (other.dataset, other.dataset_options)


def program(config: RunConfig) -> Hashable:
    """What of the data shapes a compiled program: a new drawing of about as many points compiles nothing."""
    if config.dataset == "points":
        return config.dataset, num_kernels(len(config.dataset_options["array"]))
    return config.dataset


def _mixture(options: dict) -> Float[np.ndarray, "n 2"]:
    rng = np.random.default_rng(1)
    means = np.asarray(options["means"], np.float64)
    stds = np.broadcast_to(np.asarray(options["stds"], np.float64), len(means))
    weights = np.asarray(options.get("weights") or np.ones(len(means)), np.float64)
    mode = rng.choice(len(means), NUM_SHOWN, p=weights / weights.sum())
    return (means[mode] + stds[mode, None] * rng.standard_normal((NUM_SHOWN, 2))).astype(np.float32)
