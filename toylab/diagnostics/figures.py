"""Figures of the diagnostics: arrays to matplotlib, in the colours of `toylab.plots.figures`."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from toylab.plots.figures import BASELINE, CHOSEN, DATA, ORACLE, SERIES, panel_grid

if TYPE_CHECKING:
    from toylab.diagnostics.asymmetry import Asymmetry
    from toylab.diagnostics.landscape import Landscape
    from toylab.diagnostics.optimum import OptimalCoefficient
    from toylab.diagnostics.semi_gradient import SemiGradientGap


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


def trace_figure(table: pd.DataFrame) -> Figure:
    """Residual, noise, bias and total of the loss against the step: a panel each, a line per lane."""
    columns = {
        "residual": "residual (training removes it)",
        "noise": "noise (rises as the map sharpens)",
        "bias": "proxy's bias",
        "total": "loss of pairs",
    }
    figure, panels = panel_grid(len(columns))
    for panel, (column, title) in zip(panels, columns.items(), strict=True):
        for index, (_, rows) in enumerate(table.groupby("lane")):
            label = f"beta {rows['beta'].iloc[0]:g}, seed {rows['seed'].iloc[0]}"
            panel.plot(rows["step"], rows[column], color=SERIES[index % len(SERIES)], lw=1.2, label=label)
            if column == "total":
                panel.plot(rows["step"], rows["measured"], ".", color=DATA, ms=3)
        panel.set(title=title, xlabel="step", yscale="linear" if column == "bias" else "log")
    panels[0].legend(fontsize="x-small", frameon=False)
    return figure


def amplification_figure(points: pd.DataFrame, factor: float, stderr: float) -> Figure:
    """Bin means of the measured gradient noise against four times the formula."""
    figure, (panel,) = panel_grid(1)
    pairs = points[["formula", "measured"]].to_numpy()
    ordered = pairs[np.argsort(pairs[:, 0])][np.sum(pairs[:, 0] <= 0) :]
    bins = np.array([part.mean(axis=0) for part in np.array_split(ordered, min(20, len(ordered)))])
    panel.loglog(4 * bins[:, 0], bins[:, 1], "o", color=CHOSEN, ms=4, label="measured, bin means")
    ends = 4 * bins[[0, -1], 0]
    panel.loglog(ends, ends, color=DATA, lw=1, label="4 Tr(G N Sigma N^T)")
    panel.set(title=f"factor {factor:.2f} +- {1.96 * stderr:.2f}", xlabel="formula", ylabel="measured")
    panel.legend(fontsize="x-small", frameon=False)
    return figure


def semi_gradient_figure(gap: "SemiGradientGap") -> Figure:
    """Norms: gradient that is followed, what the stop-gradient hides, and its two parts."""
    figure, (panel,) = panel_grid(1)
    names = ("followed", "hidden,\nmeasured", "mean-field\npart", "noise\npart")
    norms = (gap.semi_norm, gap.gap_norm, gap.mean_field_norm, gap.noise_norm)
    panel.bar(names, norms, color=(DATA, CHOSEN, ORACLE, BASELINE))
    panel.set(title=f"slope {gap.slope:.3f} +- {1.96 * gap.stderr:.3f}", ylabel="norm of the gradient")
    panel.tick_params(axis="x", labelsize="x-small")
    return figure


def optimum_figure(found: "OptimalCoefficient") -> Figure:
    """Measured parabola and exact quadratic with their minimisers."""
    figure, (panel,) = panel_grid(1)
    betas = np.linspace(-0.5, 2.5, 200)
    for curve, colour, name in (
        (found.measured, BASELINE, "measured"),
        (found.exact, CHOSEN, "exact"),
    ):
        label = f"{name} {curve.minimiser:.3f} +- {1.96 * curve.minimiser_stderr:.3f}"
        panel.plot(betas, curve(betas), color=colour, lw=1.2, label=label)
        panel.axvline(curve.minimiser, color=colour, lw=1, ls="--")
    panel.set(title="noise of the residual", xlabel="beta")
    panel.legend(fontsize="x-small", frameon=False)
    return figure


def asymmetry_figure(found: "Asymmetry") -> Figure:
    """Change of the stationary solution against the gap."""
    figure, (panel,) = panel_grid(1)
    table = found.table
    panel.loglog(table["gap"], table["target"], "s-", color=BASELINE, ms=4, label="error in the target")
    panel.loglog(table["gap"], table["tangent"], "o-", color=CHOSEN, ms=4, label="error in the tangent")
    panel.loglog(table["gap"], table["formula"], "--", color=DATA, label="(1/2)(t - r)|d_x u e|")
    panel.set(title=f"slopes {found.target_slope:.2f}, {found.tangent_slope:.2f}", xlabel="gap t - r")
    panel.set_ylabel("change of u over |error|")
    panel.xaxis.set_minor_formatter(NullFormatter())  # its labels would overlap
    panel.legend(fontsize="x-small", frameon=False)
    return figure
