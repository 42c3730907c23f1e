"""Figures of the diagnostics: arrays to matplotlib, in the colours of `toylab.plots`."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from toylab.plots import BASELINE, CHOSEN, DATA, ORACLE, panel_grid

if TYPE_CHECKING:
    from toylab.diagnostics.landscape import Landscape


def landscape_figure(landscape: "Landscape") -> Figure:
    """Exact quadratics as lines, measured values as points with 95% intervals, best coefficients as verticals."""
    figure, (output, gradient) = panel_grid(2)
    table = landscape.measured
    betas = np.linspace(table["beta"].min() - 0.1, table["beta"].max() + 0.1, 200)
    panels = (
        (output, landscape.output, "residual", "noise of the residual"),
        (gradient, landscape.trace, "gradient", "Tr Cov of the batch gradient"),
    )
    for panel, exact, column, title in panels:
        panel.plot(betas, exact(betas), color=CHOSEN, lw=1.4, label="exact quadratic")
        spread = np.stack([table[column] - table[f"{column}_low"], table[f"{column}_high"] - table[column]])
        panel.errorbar(
            table["beta"], table[column], np.clip(spread, 0, None), color=DATA, fmt="o", ms=4, capsize=3,
            label="measured, 95%",
        )  # fmt: skip
        panel.set(title=title, xlabel="beta")
        panel.set_ylim(bottom=0)
    marks = (
        (output, landscape.beta_star, CHOSEN, "-", "best"),
        (output, landscape.beta_star_scalar, BASELINE, "--", "scalar formula"),
        (output, landscape.beta_star_matrix, ORACLE, ":", "matrix formula"),
        (gradient, landscape.trace.minimiser, CHOSEN, "-", "best"),
        (gradient, landscape.beta_star_gradient, ORACLE, "-.", "best without spread over points"),
    )
    for panel, beta, colour, style, name in marks:
        if betas[0] <= beta <= betas[-1]:
            panel.axvline(beta, color=colour, ls=style, lw=1, label=f"{name} {beta:.2f}")
        elif np.isfinite(beta):
            panel.plot([], [], color=colour, ls=style, label=f"{name} {beta:.2f} (outside)")
    for panel in (output, gradient):
        panel.legend(fontsize="x-small", frameon=False)
    return figure
