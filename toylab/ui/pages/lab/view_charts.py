"""Charts of the views of a run, as Vega-Lite dictionaries: distance over steps, and arrows of a velocity field."""

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float
from numpy import ndarray

from toylab.ui.charts.curves import coordinate, square_frame
from toylab.ui.charts.theme import Palette
from toylab.ui.text.words import short

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
    level = pd.DataFrame(
        {"steps": [1.0], "value": [floor], "kind": ["floor"], "label": [f"floor {short(floor)}: fresh data"]}
    )
    ticks = sorted(set(table["steps"]))
    quiet = {"grid": False, "labelColor": palette.faint, "titleColor": palette.faint, "titleFontSize": 11}
    x = {
        "field": "steps",
        "type": "quantitative",
        "scale": {"type": "log", "base": 2, "nice": False, "padding": 18},
        "axis": {**quiet, "values": ticks, "format": "d", "title": "steps", "domainColor": palette.frame},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False, "padding": 14},
        "axis": {**quiet, "title": None, "values": _LEVELS, "format": "~g", "domainColor": palette.frame},
    }
    lanes = {"domain": ["chosen", "baseline"], "range": [palette.chosen, palette.baseline]}
    colour = {"field": "lane", "type": "nominal", "legend": None, "scale": lanes}
    hover = [
        {"field": "lane", "type": "nominal"},
        {"field": "steps", "type": "quantitative"},
        {"field": "value", "type": "quantitative", "format": ".3~g"},
    ]
    dash = {"type": "rule", "strokeDash": [3, 3], "color": palette.faint}
    word = {"type": "text", "align": "left", "dy": -8, "fontSize": 11, "color": palette.faint}
    spec = {
        "height": STEPS_HEIGHT,
        "padding": {"left": 2, "right": 4, "top": 4, "bottom": 2},
        "layer": [
            _layer("floor", dash, {"y": y}),
            _layer("floor", word, {"x": {"value": 4}, "y": y, "text": {"field": "label", "type": "nominal"}}),
            _layer("score", {"type": "line", "strokeWidth": 2}, {"x": x, "y": y, "color": colour}),
            _layer(
                "score",
                {"type": "rule", "strokeWidth": 2},
                {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour},
            ),
            _layer(
                "score",
                {"type": "circle", "size": 70, "opacity": 1},
                {"x": x, "y": y, "color": colour, "tooltip": hover},
            ),
        ],
        "config": {"view": {"stroke": None}},
    }
    st.vega_lite_chart(pd.concat([table, level], ignore_index=True), spec, width="stretch", key=key, alt=alt)


# 0.01, 0.02, 0.05, 0.1, ...: a log axis of less than a decade still gets two labels.
_LEVELS = [float(f"{digit}e{power}") for power in range(-3, 3) for digit in (1, 2, 5)]


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
    head = {
        "type": "point",
        "shape": "triangle-up",
        "filled": True,
        "color": colour,
        "size": 26,
        "opacity": 1,
    }
    turned = {"field": "angle", "type": "quantitative", "scale": None}
    spec = {
        **square_frame(side, palette),
        "layer": [
            _layer(
                "point",
                {"type": "circle", "size": 10, "opacity": 0.4, "color": palette.data, "clip": True},
                {"x": across, "y": up},
            ),
            _layer(
                "arrow",
                {"type": "rule", "strokeWidth": 1.4, "color": colour, "clip": True},
                {"x": across, "y": up, "x2": {"field": "x2"}, "y2": {"field": "y2"}},
            ),
            _layer(
                "arrow",
                {**head, "clip": True},
                {"x": {**across, "field": "x2"}, "y": {**up, "field": "y2"}, "angle": turned},
            ),
        ],
    }
    st.vega_lite_chart(pd.concat([table, below], ignore_index=True), spec, width="content", key=key, alt=alt)


def _layer(kind: str, mark: dict, encoding: dict) -> dict:
    return {"transform": [{"filter": f"datum.kind === '{kind}'"}], "mark": mark, "encoding": encoding}
