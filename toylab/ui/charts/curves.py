"""Charts of more than one page: samples over data in a square, and curves over training steps."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from toylab.ui.charts.grammar import (
    DASHES,
    DECADES,
    LINE_WIDTH,
    NUMBER,
    by,
    coordinate,
    empty,
    hover,
    layer,
    level,
    logarithmic,
    panel,
    show,
    square_panel,
    steps,
    upright,
    value,
)
from toylab.ui.charts.theme import Palette

SQUARE = 436
"""Side of a square of samples, in pixels."""
CURVE_HEIGHT = 165


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
    sizes = (12, 14) if side == SQUARE else (5, 6)
    encoding = {
        "x": coordinate("x", x, half, palette),
        "y": coordinate("y", y, half, palette),
        "color": by("kind", {"data": palette.data, "sample": colour}),
        "size": by("kind", {"data": sizes[0], "sample": sizes[1]}),
        "opacity": by("kind", {"data": 0.45, "sample": 0.7}),
    }
    show(table, square_panel(side, palette, **layer(None, "circle", encoding, clip=True)), key=key, alt=alt)


def curve(
    lines: pd.DataFrame,
    marks: pd.DataFrame,
    num_steps: int,
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
        num_steps: right end of the axis: the whole run, so that the curve shows how far it has come.
        palette: colours.
        key: of the chart.
        alt: what the chart shows, in words.
        lanes: colour of each lane; by default those of "chosen" and "baseline".
        height: in pixels.
    """
    lanes = lanes or {"chosen": palette.chosen, "baseline": palette.baseline}
    table = pd.concat([lines.assign(kind="line", label=""), marks.assign(lane="")], ignore_index=True)
    x = steps(num_steps, palette)
    y = value(logarithmic(8), palette, values=DECADES)
    if not np.any(np.isfinite(table["value"].to_numpy(float))):
        y = empty(y)
    told = {"color": by("lane", lanes)}
    if len(lanes) > 2:  # told apart without colours too
        told["strokeDash"] = by("lane", dict(zip(lanes, DASHES, strict=False)))
    at = {"x": x, "y": y}
    values = hover(("step", ","), ("value", NUMBER), "lane")
    layers = [
        *upright(x, palette),
        *level(y, palette),
        # Dots, since a line of one point draws nothing.
        layer("line", "line", at | told, strokeWidth=LINE_WIDTH, clip=True, point={"size": 9, "aria": False}),
        layer("line", "circle", at | {"tooltip": values}, size=60, opacity=0),
    ]
    show(table, panel(height, layers), key=key, alt=alt)
