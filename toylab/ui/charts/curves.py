"""Vega-Lite specifications as plain dictionaries: a stable one is redrawn in place when its data change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float
from numpy import ndarray

from toylab.ui.charts.theme import Palette

SQUARE = 436
"""Side of a square of samples, in pixels."""
CURVE_HEIGHT = 165
DECADES = [float(f"{digit}e{power}") for power in range(-4, 16) for digit in (1, 3)]
"""1, 3, 10, 30, ...: round numbers, and few of them, whatever range a loss takes, also on its way to divergence."""
SHORT = (
    "datum.value >= 1e15 ? format(datum.value, '.0e') : datum.value >= 1e12 ? datum.value / 1e12 + 'T'"
    " : datum.value >= 1e9 ? datum.value / 1e9 + 'G' : datum.value >= 1e6 ? datum.value / 1e6 + 'M'"
    " : datum.value >= 1e3 ? datum.value / 1e3 + 'k' : format(datum.value, '~g')"
)
"""Labels of an axis: 0.1, 30, 1k, 10M. Vega's own "~s" writes 0k and, below one, 100m for 0.1."""


def square(
    data: Float[ndarray, "n 2"],
    samples: Float[ndarray, "m 2"] | None,
    frame: tuple[float, float, float],
    colour: str,
    palette: Palette,
    key: str,
    alt: str,
    side: int = SQUARE,
) -> None:
    """Samples over data in a square of fixed extent ``frame`` (centre x, centre y, half side), ``side`` pixels wide."""
    table = pd.DataFrame(data, columns=["x", "y"])
    table["kind"] = "data"
    if samples is not None:
        drawn = pd.DataFrame(samples, columns=["x", "y"])
        drawn["kind"] = "sample"
        table = pd.concat([table, drawn], ignore_index=True)
    x, y, half = frame
    spec = {
        **square_frame(side, palette),
        "mark": {"type": "circle", "clip": True},
        "encoding": {
            "x": coordinate("x", x, half, palette),
            "y": coordinate("y", y, half, palette),
            "color": _by_kind([palette.data, colour]),
            "size": _by_kind([12, 14] if side == SQUARE else [5, 6]),
            "opacity": _by_kind([0.45, 0.7]),
        },
    }
    # "content": with a width of its own, Streamlit would lay the chart out again on a narrow page.
    st.vega_lite_chart(table, spec, width="content", key=key, alt=alt)


def square_frame(side: int, palette: Palette) -> dict[str, Any]:
    """What makes a chart a framed square of ``side`` pixels in all."""
    return {
        "width": side,
        "height": side,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 1, "right": 1, "top": 1, "bottom": 1},
        "config": {"view": {"stroke": palette.frame, "strokeWidth": 1}},
    }


def _by_kind(values: list) -> dict[str, Any]:
    scale = {"domain": ["data", "sample"], "range": values}
    return {"field": "kind", "type": "nominal", "legend": None, "scale": scale}


def coordinate(field: str, centre: float, half: float, palette: Palette) -> dict[str, Any]:
    """An axis of a square, its labels inside."""
    # Labels inside the frame: both squares keep their full size and one scale.
    inside = {"labelPadding": -16, "labelBaseline": "middle"}
    if field == "y":
        inside = {"labelPadding": -6, "labelAlign": "left"}
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"domain": [centre - half, centre + half], "nice": False, "zero": False},
        "axis": {
            "title": None,
            "grid": False,
            "domain": False,
            "ticks": False,
            "tickCount": 5,
            "labelBound": True,
            "labelColor": palette.faint,
            "labelOpacity": 0.8,
            "labelFontSize": 10,
            **inside,
        },
    }


def curve(
    lines: pd.DataFrame,
    marks: pd.DataFrame,
    steps: int,
    palette: Palette,
    key: str,
    alt: str,
    lanes: Mapping[str, str] | None = None,
    height: int = CURVE_HEIGHT,
) -> None:
    """One slim curve over steps for every lane, on a log scale.

    Args:
        lines: columns step, value, lane.
        marks: columns step, value, label, kind: "floor" is a level rule at value, "event" an upright one.
        steps: right end of the axis: the whole run, so that the curve shows how far it has come.
        palette: colours.
        key: of the chart.
        alt: what the chart says, for those who do not see it.
        lanes: colour of each lane; by default those of "chosen" and "baseline".
        height: in pixels.
    """
    lanes = lanes or {"chosen": palette.chosen, "baseline": palette.baseline}
    table = pd.concat([lines.assign(kind="line", label=""), marks.assign(lane="")], ignore_index=True)
    rule = {"type": "rule", "strokeWidth": 1, "strokeDash": [3, 3], "color": palette.faint}
    text = {"type": "text", "fontSize": 10.5, "color": palette.faint, "align": "left", "dx": 3}
    quiet = {"title": None, "grid": False, "labelColor": palette.faint, "tickCount": 4, "labelExpr": SHORT}
    below = {**quiet, "title": "steps", "titleColor": palette.faint, "titleFontSize": 10.5, "titlePadding": 2}
    x = {
        "field": "step",
        "type": "quantitative",
        "axis": below,
        "scale": {"domain": [0, steps], "nice": False},
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "axis": {**quiet, "values": DECADES, "domain": True, "domainColor": palette.frame},
        "scale": {"type": "log", "nice": False, "padding": 8},
    }
    if not np.any(
        np.isfinite(table["value"].to_numpy(float))
    ):  # nothing measured yet: an empty frame, not a logarithm of nothing
        y |= {"axis": None, "scale": {"domain": [0, 1]}}
    names = list(lanes)
    by_lane = {"field": "lane", "type": "nominal", "legend": None}
    colour = by_lane | {"scale": {"domain": names, "range": list(lanes.values())}}
    # Told apart without colours too, where there are more than two.
    dash = by_lane | {"scale": {"domain": names, "range": _DASHES[: len(names)]}}
    by_lane = {"color": colour} | ({"strokeDash": dash} if len(names) > 2 else {})
    # Dots, since a line of one point draws nothing.
    line = {"type": "line", "strokeWidth": 2, "clip": True, "point": {"size": 9, "aria": False}}
    label = {"field": "label", "type": "nominal"}
    hover = [
        {"field": "step", "type": "quantitative", "format": ","},
        {"field": "value", "type": "quantitative", "format": ".4~g"},
        {"field": "lane", "type": "nominal"},
    ]
    spec = {
        "height": height,
        "padding": {"left": 2, "right": 10, "top": 4, "bottom": 2},
        "layer": [
            layer("event", rule, {"x": x}),
            layer("event", text, {"x": x, "y": {"value": 5}, "text": label}),
            layer("floor", rule, {"y": y}),
            layer("floor", {**text, "dy": -7}, {"x": {"value": 0}, "y": y, "text": label}),
            layer("line", line, {"x": x, "y": y, **by_lane}),
            layer("line", {"type": "circle", "size": 60, "opacity": 0}, {"x": x, "y": y, "tooltip": hover}),
        ],
        "config": {"view": {"stroke": None}},
    }
    st.vega_lite_chart(table, spec, width="stretch", key=key, alt=alt)


_DASHES = [[1, 0], [6, 2], [2, 2], [7, 2, 2, 2]]


def layer(kind: str, mark: dict[str, Any], encoding: dict[str, Any]) -> dict[str, Any]:
    """Marks of the rows of one ``kind``."""
    # `alt` tells screen readers what the chart says: marks without data would be pictures without a name, those with
    # data a name for every point.
    mark = {**mark, "aria": False}
    return {"transform": [{"filter": f"datum.kind === '{kind}'"}], "mark": mark, "encoding": encoding}
