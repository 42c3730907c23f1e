"""The figure of `maps`."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from toylab.plots.figures import PANEL

if TYPE_CHECKING:
    from toylab.diagnostics.maps import Maps

BEST_BETAS = (-1.0, 3.0)
"""Colours of the best beta end here: 1 in the middle."""


def maps_figure(found: "Maps") -> Figure:
    """A row per field, a column per t; one colour scale per row, white where the density is faint."""
    mask = found.mask
    rows = {
        "expansion": ("|rho|", "RdBu_r", _around_one(found.expansion[~mask & np.isfinite(found.expansion)])),
        "noise": (f"Tr(N Sigma N^T), beta {found.beta:g}", "viridis", _log_norm(found.noise[~mask])),
        "best_beta": ("locally best beta", "PuOr", Normalize(*BEST_BETAS)),
    }
    if np.any(found.bias > 0):
        rows["bias"] = ("|b|", "magma", Normalize(0, float(np.quantile(found.bias[~mask], 0.99)) or 1.0))
    columns = len(found.t)
    figure = Figure(
        figsize=(0.75 * PANEL * columns + 0.8, 0.75 * PANEL * len(rows)), layout="constrained", dpi=100
    )
    panels = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for row, (name, (title, colours, norm)) in enumerate(rows.items()):
        field = np.ma.array(getattr(found, name), mask=mask | ~np.isfinite(getattr(found, name)))
        for column, t in enumerate(found.t):
            panel = panels[row, column]
            panel.pcolormesh(found.axis, found.axis, field[column], cmap=colours, norm=norm, rasterized=True)
            panel.set_aspect("equal")
            if row == 0:
                panel.set_title(f"t = {t:g}, r = {found.r:g}", fontsize="small")
        figure.colorbar(
            ScalarMappable(norm, colours), ax=list(panels[row]), label=title, extend="both", shrink=0.9
        )
    figure.suptitle(found.title, fontsize="small")
    return figure


def _around_one(values: np.ndarray) -> LogNorm:
    """Logarithmic, with 1 in the middle: white neither expands nor contracts."""
    reach = float(np.exp(np.max(np.abs(np.log(np.clip(values, 1e-2, 1e2)))))) if values.size else 10.0
    return LogNorm(1 / max(reach, 1.1), max(reach, 1.1))


def _log_norm(values: np.ndarray) -> LogNorm:
    positive = values[values > 0]
    if not positive.size:
        return LogNorm(1e-3, 1.0)
    low, high = np.quantile(positive, [0.01, 0.99])
    return LogNorm(max(low, 1e-12), max(high, 1.01 * low, 1e-11))
