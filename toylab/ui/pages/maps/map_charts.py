"""Fields over the plane as heat maps on a shared colour scale."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.ui.charts.grammar import NUMBER, coordinate, hover, layer, show, square_panel
from toylab.ui.charts.theme import Palette

if TYPE_CHECKING:
    from toylab.diagnostics.maps import Maps

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


def shown(found: "Maps", field: str, layer: int) -> Float[np.ndarray, "rows columns"]:
    """A field at one t, NaN where a point is too unlikely to matter."""
    return np.where(found.mask[layer], np.nan, getattr(found, field)[layer])


def heat(
    found: "Maps", field: str, index: int, scale: tuple[float, float], palette: Palette, key: str, alt: str
) -> None:
    """One field at the time number ``index`` as coloured cells; unlikely places stay empty."""
    values = shown(found, field, index)
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
    encoding = {
        "x": coordinate("x", 0.0, half, palette, inside=False),
        "x2": {"field": "x2"},
        "y": coordinate("y", 0.0, half, palette, inside=False),
        "y2": {"field": "y2"},
        "color": {"field": "value", "type": "quantitative", "scale": colour, "legend": _legend(palette)},
        "tooltip": hover(("exact", NUMBER, FIELDS[field]), ("x", ".2f"), ("y", ".2f")),
    }
    cells = layer(None, "rect", encoding, strokeWidth=0, clip=True)
    show(table, square_panel(SIDE, palette, **cells), key=key, alt=alt)


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
