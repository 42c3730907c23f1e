"""What beta = 1 gains between two modes, by their distance: a packaged copy of results/separation_law."""

import json
from functools import cache
from typing import Any

import pandas as pd
import streamlit as st

from toylab.ui.charts.theme import Palette
from toylab.ui.widgets.thumbnails import ASSETS

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
    quiet = {"grid": False, "labelColor": palette.faint, "titleColor": palette.faint, "ticks": False}
    x = {
        "field": "separation",
        "type": "quantitative",
        "scale": {"domain": [1, 11], "nice": False},
        "axis": {
            **quiet,
            "title": "distance of the modes",
            "values": table["separation"].tolist(),
            "domain": False,
        },
    }
    y = {
        "field": "gain",
        "type": "quantitative",
        "scale": {"domain": [-100, 100], "nice": False},
        "axis": {
            **quiet, "title": None, "values": [-100, -50, 0, 50, 100], "labelExpr": "datum.label + '%'",
            "domain": False,
        },
    }  # fmt: skip
    hover = [
        {"field": name, "type": "quantitative", "format": form, "title": title}
        for name, form, title in (
            ("separation", "g", "distance"), ("gain", ".0f", "gain, %"), ("gain_low", ".0f", "from"),
            ("gain_high", ".0f", "to"), ("sw1_0", ".3f", "SW1, β = 0"), ("sw1_1", ".3f", "SW1, β = 1"),
            ("floor", ".3f", "floor"),
        )
    ]  # fmt: skip
    low, high = {**y, "field": "gain_low"}, {"field": "gain_high"}
    spec = {
        "height": 230,
        "layer": [
            {
                "mark": {"aria": False, "type": "rule", "color": palette.faint, "strokeDash": [3, 3]},
                "encoding": {"y": {"datum": 0}},
            },
            {
                "mark": {"aria": False, "type": "rule", "strokeWidth": 2.5, "color": palette.chosen},
                "encoding": {"x": x, "y": low, "y2": high},
            },
            {
                "mark": {"aria": False, "type": "circle", "size": 110, "opacity": 1, "color": palette.chosen},
                "encoding": {"x": x, "y": y, "tooltip": hover},
            },
        ],
        "config": {"view": {"stroke": None}},
    }
    said = "; ".join(
        f"{distance:g}: {gain:+.0f}%"
        for distance, gain in zip(table["separation"], table["gain"], strict=True)
    )
    st.vega_lite_chart(
        table, spec, width="stretch", key="separation", alt=f"Gain by distance of the modes: {said}"
    )
