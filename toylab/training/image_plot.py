"""A run on images at a glance: samples beside real images, class by class, and the history."""

from typing import TYPE_CHECKING

import jax
import numpy as np
from jaxtyping import Float

from toylab.plots.images import GRID_ROWS, class_order, columns_of, tiled, to_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from toylab.data import AbstractDataset
    from toylab.training.run import Run

NUM_SEEN = 64
"""Data points drawn per column: enough that each class has a column of its own."""


def image_plot(run: "Run", seed: int = 0) -> "Figure":
    """Samples (the method's ``eval_nfe`` evaluations each), data of the same classes, and the history.

    Pixels that are NaN are grey, infinite ones white or black; images that have any are counted in the title.
    """
    from toylab.plots.figures import image_run_figure

    shape = run.dataset.shape
    assert shape.image is not None
    columns, nfe = columns_of(shape.num_classes), run.experiment.method.eval_nfe
    samples = run.sample(GRID_ROWS * columns, nfe, seed)
    lost = np.count_nonzero(~np.all(np.isfinite(samples), axis=1))
    note = f" ({lost} of {len(samples)} not finite)" if lost else ""
    title = f"samples, {nfe} evaluation{'s' if nfe > 1 else ''} each{note}"
    grids = {title: np.nan_to_num(samples, posinf=1, neginf=-1), "data": _data(run.dataset, columns)}
    pictures = {
        name: tiled(to_bytes(points.reshape(-1, *shape.image)), columns) for name, points in grids.items()
    }
    return image_run_figure(pictures, run.history)


def _data(dataset: "AbstractDataset", columns: int) -> Float[np.ndarray, "n dim"]:
    """Data points, a class per column where there are no more classes than columns."""
    with jax.enable_x64(False):
        points, labels = dataset.draw_labelled(jax.random.key(1), NUM_SEEN * columns)
    points = np.asarray(points)
    if labels is None or dataset.shape.num_classes != columns:
        return points[: GRID_ROWS * columns]
    return points[class_order(np.asarray(labels), columns, GRID_ROWS)]
