"""What the worker computes for the page of images: samples, scores and cost of a run, real images beside them."""

import json
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from toylab.config import RunConfig
from toylab.plots.images import GRID_ROWS, class_order, columns_of, to_bytes
from toylab.ui.runs.image_entries import Bytes, Number

if TYPE_CHECKING:
    from toylab.features import ImageScore
    from toylab.training import Run

SEED = 0
"""Of the noise, the same for every run: image k of every grid began as the same noise and class."""
NUM_SCORED, NUM_KEYS = 1797, 3
"""Images behind a score, as many as there are digits, and independent sets of them."""

MAX_OPERATIONS = 1e13
"""Of a score: about two minutes of a core."""


def draw(run: "Run", nfe: int) -> Bytes:
    """The samples of a grid.

    Raises:
        ValueError: pixels that are NaN.
    """
    shape = run.dataset.shape
    assert shape.image is not None
    points = run.sample(GRID_ROWS * columns_of(shape.num_classes), nfe=nfe, seed=SEED)
    return to_bytes(points.reshape(-1, *shape.image))


@cache
def real_images(dataset: str, classes: int) -> Bytes:
    """Real images for a grid: image k of class k modulo their number, as the samples are.

    Raises:
        FileNotFoundError: a set that is not installed; the line says how to install it.
    """
    from toylab.evaluation import REFERENCES

    images = REFERENCES[dataset]()
    columns = columns_of(classes)
    if classes != columns:
        return to_bytes(images.pixels[: GRID_ROWS * columns])
    return to_bytes(images.pixels[class_order(images.labels, classes, GRID_ROWS)])


def scores(run: "Run", nfe: int) -> "dict[str, ImageScore]":
    """Frechet and kernel distance and label accuracy of a run.

    Raises:
        ValueError: samples that are not finite.
        FileNotFoundError: real images that are not installed.
    """
    from toylab.evaluation import FEATURE_NETS, evaluate_images

    net = FEATURE_NETS[run.config.dataset]
    return evaluate_images(run, net, n=NUM_SCORED, num_keys=NUM_KEYS, nfe=nfe, seed=SEED)


def numbers(run: "Run", nfe: int) -> dict[str, Number]:
    """`scores`, as the page keeps them.

    Raises:
        ValueError: likewise, or a net that would hold the worker for minutes.
        FileNotFoundError: likewise.
    """
    operations = count(run.config)["flops_forward"] * NUM_SCORED * NUM_KEYS * nfe
    if operations > MAX_OPERATIONS:
        raise ValueError(
            f"{NUM_KEYS} times {NUM_SCORED:,} samples take {operations:.1e} operations, the app spends "
            f"{MAX_OPERATIONS:.0e}; `toylab evaluate` scores it"
        )
    return {name: Number.of(score.to_json()) for name, score in scores(run, nfe).items()}


def count(config: RunConfig) -> dict[str, Any]:
    """Parameters, operations and memory of a run, counted from shapes."""
    return _counted(json.dumps(config.to_dict(), sort_keys=True))


@lru_cache(maxsize=16)
def _counted(settings: str) -> dict[str, Any]:
    from toylab.training.cost import cost

    return cost(RunConfig.from_dict(json.loads(settings)))
