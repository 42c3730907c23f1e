"""What beta = 1 gains between two modes, by their distance: a packaged copy of results/separation_law."""

import json
from functools import cache
from typing import Any

import pandas as pd

from toylab.ui import ASSETS
from toylab.ui.charts.grammar import (
    LINE_WIDTH,
    NUMBER,
    PERCENT,
    axis,
    extent,
    hover,
    layer,
    panel,
    quantity,
    show,
    zero,
)
from toylab.ui.charts.theme import Palette

STD = 0.2
"""Standard deviation of the modes that is shown: that of the Lab's two_gaussians."""


@cache
def measured() -> dict[str, Any]:
    """The packaged results."""
    return json.loads((ASSETS / "separation_law.json").read_text())


@cache
def gains() -> pd.DataFrame:
    """Gain of beta = 1 over beta = 0 in per cent with its 95% interval, and both scores, by separation."""
    rows = [row for row in measured()["table"] if row["std"] == STD]
    shares = ("gain", "gain_low", "gain_high")
    return pd.DataFrame(
        {
            **{name: [row[name] for row in rows] for name in ("separation", "sw1_0", "sw1_1", "floor")},
            **{name: [100 * row[name] for row in rows] for name in shares},
        }
    )


def draw(palette: Palette) -> None:
    """Gain by separation with intervals."""
    table = gains()
    places = table["separation"].tolist()
    shares = axis(palette, values=[-100, -50, 0, 50, 100], labelExpr=PERCENT)
    x = quantity("separation", extent(1, 11), axis(palette, "distance of the modes", values=places))
    y = quantity("gain", extent(-100, 100), shares)
    bars = {"x": x, "y": {**y, "field": "gain_low"}, "y2": {"field": "gain_high"}}
    numbers = hover(
        ("separation", NUMBER, "distance"),
        ("gain", ".0f", "gain, %"),
        ("gain_low", ".0f", "from"),
        ("gain_high", ".0f", "to"),
        ("sw1_0", ".3f", "SW1, β = 0"),
        ("sw1_1", ".3f", "SW1, β = 1"),
        ("floor", ".3f", "floor"),
    )
    layers = [
        zero(palette),
        layer(None, "rule", bars, strokeWidth=LINE_WIDTH, color=palette.chosen),
        layer(
            None, "circle", {"x": x, "y": y, "tooltip": numbers}, size=110, opacity=1, color=palette.chosen
        ),
    ]
    said = "; ".join(
        f"{distance:g}: {gain:+.0f}%" for distance, gain in zip(places, table["gain"], strict=True)
    )
    show(table, panel(230, layers), key="separation", alt=f"Gain by distance of the modes: {said}")
