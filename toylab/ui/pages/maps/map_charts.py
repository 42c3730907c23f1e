"""Fields over the plane as heat maps on a shared colour scale."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float

from toylab.diagnostics.maps import Maps
from toylab.ui.charts.theme import Palette

SIDE = 430
FIELDS = {
    "expansion": "Expansion |ρ|",
    "noise": "Noise Tr(NΣNᵀ)",
    "bias": "Proxy bias |b|",
    "best_beta": "Best β here",
}
"""What may be shown; see `toylab.diagnostics.maps.Maps`."""
BEST_RANGE = (-1.0, 3.0)
"""Colours of the best beta end here: it has poles."""


def scale_of(values: Float[np.ndarray, " n"], field: str) -> tuple[float, float]:
    """Ends of a colour scale: all but the highest and lowest half per cent, equal for every map that shares it."""
    if field == "best_beta":
        return BEST_RANGE
    finite = values[np.isfinite(values) & (values > 0)]
    if not len(finite):
        return 1e-6, 1.0
    low, high = np.quantile(finite, [0.005, 0.995])
    low = max(float(low), 1e-6 * float(high), 1e-12)
    return low, max(float(high), 1.001 * low)


def shown(found: Maps, field: str, layer: int) -> Float[np.ndarray, "rows columns"]:
    """A field at one t, NaN where a point is too unlikely to matter."""
    return np.where(found.mask[layer], np.nan, getattr(found, field)[layer])


def heat(
    found: Maps, field: str, layer: int, scale: tuple[float, float], palette: Palette, key: str, alt: str
) -> None:
    """One field at one t as coloured cells; unlikely places stay empty."""
    values = shown(found, field, layer)
    # Cells overlap by a hair: without it their edges show as a grid.
    step = 1.04 * float(found.axis[1] - found.axis[0])
    y, x = np.nonzero(np.isfinite(values))
    table = pd.DataFrame(
        {
            "x": found.axis[x] - step / 2,
            "x2": found.axis[x] + step / 2,
            "y": found.axis[y] - step / 2,
            "y2": found.axis[y] + step / 2,
            "value": np.clip(values[y, x], *scale),
            "exact": values[y, x],
        }
    ).astype(np.float32)
    half = float(found.axis[-1]) + step / 2
    colour: dict[str, Any] = {"domain": list(scale), "scheme": "viridis", "type": "log"}
    if field == "best_beta":
        colour = {"domain": [scale[0], 1.0, scale[1]], "scheme": "purpleorange", "type": "linear"}
    spec = {
        "width": SIDE,
        "height": SIDE,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 1, "right": 1, "top": 1, "bottom": 1},
        "mark": {"type": "rect", "strokeWidth": 0, "clip": True},
        "encoding": {
            "x": _side("x", half, palette),
            "x2": {"field": "x2"},
            "y": _side("y", half, palette),
            "y2": {"field": "y2"},
            "color": {"field": "value", "type": "quantitative", "scale": colour, "legend": _legend(palette)},
            "tooltip": [
                {"field": "exact", "type": "quantitative", "format": ".3~g", "title": FIELDS[field]},
                {"field": "x", "type": "quantitative", "format": ".2f"},
                {"field": "y", "type": "quantitative", "format": ".2f"},
            ],
        },
        "config": {"view": {"stroke": palette.frame, "strokeWidth": 1}},
    }
    st.vega_lite_chart(table, spec, width="content", key=key, alt=alt)


def _side(field: str, half: float, palette: Palette) -> dict[str, Any]:
    axis = {
        "title": None,
        "grid": False,
        "tickCount": 5,
        "labelColor": palette.faint,
        "domain": False,
        "ticks": False,
    }
    scale = {"domain": [-half, half], "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def _legend(palette: Palette) -> dict[str, Any]:
    return {
        "title": None,
        "orient": "bottom-left",  # inside the frame, which keeps its aspect
        "direction": "horizontal",
        "gradientLength": 150,
        "gradientThickness": 8,
        "labelColor": palette.faint,
        "tickCount": 4,
        "format": ".2~g",
    }
