"""Charts of the views of a run, as Vega-Lite dictionaries: distance over steps, and arrows of a velocity field."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from toylab.formatting import short
from toylab.ui.charts.grammar import (
    FINE,
    LINE_WIDTH,
    NUMBER,
    axis,
    by,
    coordinate,
    hover,
    layer,
    level,
    logarithmic,
    panel,
    quantity,
    show,
    square_panel,
    value,
)
from toylab.ui.charts.theme import Palette

STEPS_HEIGHT = 398
HEAD_SHARE = 0.85
"""Longest common arrow over the distance of two grid points: arrows touch, but do not cross."""


def distance_over_steps(table: pd.DataFrame, floor: float, palette: Palette, key: str, alt: str) -> None:
    """Distance to the data over network evaluations, a line per lane with error bars, the floor dashed.

    Args:
        table: columns steps, value, low, high, lane ("chosen" or "baseline"); finite.
        floor: what fresh data would score.
        palette: colours.
        key: of the chart.
        alt: what the chart says.
    """
    table = table.assign(kind="score")
    floor_row = pd.DataFrame(
        {"steps": [1.0], "value": [floor], "kind": ["floor"], "label": [f"floor {short(floor)}: fresh data"]}
    )
    counts = sorted(set(table["steps"]))
    x = quantity(
        "steps",
        logarithmic(18) | {"base": 2},
        axis(palette, "steps", line=True, values=counts, format="d"),
    )
    y = value(logarithmic(14), palette, values=FINE)
    at = {"x": x, "y": y, "color": by("lane", {"chosen": palette.chosen, "baseline": palette.baseline})}
    bars = at | {"y": {**y, "field": "low"}, "y2": {"field": "high"}}
    numbers = hover("lane", ("steps", "d"), ("value", NUMBER))
    layers = [
        *level(y, palette),
        layer("score", "line", at, strokeWidth=LINE_WIDTH),
        layer("score", "rule", bars, strokeWidth=LINE_WIDTH),
        layer("score", "circle", at | {"tooltip": numbers}, size=70, opacity=1),
    ]
    show(pd.concat([table, floor_row], ignore_index=True), panel(STEPS_HEIGHT, layers), key=key, alt=alt)


def arrow_scale(velocities: Float[ndarray, "m 2"], half: float, per_side: int) -> float:
    """What a velocity is multiplied by to be drawn: nearly all of the fastest fit between two grid points."""
    fast = float(np.quantile(np.linalg.norm(velocities, axis=1), 0.95))
    return HEAD_SHARE * 2 * half / per_side / max(fast, 1e-9)


def arrows(
    points: Float[ndarray, "k 2"],
    grid: Float[ndarray, "m 2"],
    velocities: Float[ndarray, "m 2"],
    scale: float,
    frame: tuple[float, float, float],
    side: int,
    colour: str,
    palette: Palette,
    key: str,
    alt: str,
) -> None:
    """Velocities times ``scale`` as arrows with their middle at the grid points, over ``points`` in grey."""
    x, y, half = frame
    # Arrows start at the grid point; a net gone astray must not draw one across the whole square.
    moved = scale * np.nan_to_num(velocities.astype(np.float64))
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    moved *= np.minimum(1, 0.25 * half / np.maximum(length, 1e-12))
    start, end = grid - moved / 2, grid + moved / 2
    table = pd.DataFrame(np.concatenate([start, end], axis=1), columns=["x", "y", "x2", "y2"])
    # Vega turns symbols clockwise from upright.
    table["angle"] = 90 - np.degrees(np.arctan2(moved[:, 1], moved[:, 0]))
    table["kind"] = "arrow"
    below = pd.DataFrame(points, columns=["x", "y"]).assign(kind="point")
    across, up = coordinate("x", x, half, palette), coordinate("y", y, half, palette)
    shaft = {"x": across, "y": up, "x2": {"field": "x2"}, "y2": {"field": "y2"}}
    turned = {"field": "angle", "type": "quantitative", "scale": None}
    tip = {"x": {**across, "field": "x2"}, "y": {**up, "field": "y2"}, "angle": turned}
    head = {"shape": "triangle-up", "filled": True, "color": colour, "size": 26, "opacity": 1, "clip": True}
    dots = {"size": 10, "opacity": 0.4, "color": palette.data, "clip": True}
    layers = [
        layer("point", "circle", {"x": across, "y": up}, **dots),
        layer("arrow", "rule", shaft, strokeWidth=1.4, color=colour, clip=True),
        layer("arrow", "point", tip, **head),
    ]
    table = pd.concat([table, below], ignore_index=True)
    show(table, square_panel(side, palette, layer=layers), key=key, alt=alt)
