"""The phase diagram of `separation_law`."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from toylab.plots.figures import DATA, MARKERS, SERIES, panel_grid


def separation_figure(table: pd.DataFrame) -> Figure:
    """The exact variance ratio over separation and std; with training also the gain, and gain against the ratio."""
    trained = "gain" in table
    figure, panels = panel_grid(3 if trained else 1)
    exact = table.pivot(index="std", columns="separation", values="log_variance_ratio") / np.log(10)
    _heat(
        panels[0],
        exact,
        "exact solution: log10 of noise\nat beta 0 over beta 1",
        "YlOrRd",
        Normalize(0, 20),
        "{:.1f}",
    )
    if trained:
        gain = 100 * table.pivot(index="std", columns="separation", values="gain")
        _heat(panels[1], gain, "SW1 gain of beta 1 over 0, %", "RdBu", Normalize(-100, 100), "{:.0f}")
        _gain_panel(panels[2], table)
    return figure


def _heat(panel: Axes, values: pd.DataFrame, title: str, colours: str, norm: Normalize, form: str) -> None:
    panel.imshow(values.to_numpy(), origin="lower", aspect="auto", cmap=colours, norm=norm)
    panel.set_xticks(range(values.shape[1]), [f"{each:g}" for each in values.columns])
    panel.set_yticks(range(values.shape[0]), [f"{each:g}" for each in values.index])
    panel.set(title=title, xlabel="separation", ylabel="std")
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        dark = abs(norm(value) - 0.5) > 0.35 and not (colours == "YlOrRd" and norm(value) < 0.5)
        panel.text(
            column, row, form.format(value), ha="center", va="center", fontsize="small",
            color="white" if dark else "black",
        )  # fmt: skip


def _gain_panel(panel: Axes, table: pd.DataFrame) -> None:
    """Gain with its interval against separation, a series per std; series stand a little apart."""
    stds = sorted(set(table["std"]))
    for index, std in enumerate(stds):
        rows = table[table["std"] == std]
        columns = ("separation", "gain", "gain_low", "gain_high")
        place, gain, low, high = (np.asarray(rows[column], float) for column in columns)
        spread = np.nan_to_num(100 * np.stack([gain - low, high - gain]))
        panel.errorbar(
            place + 0.15 * (index - (len(stds) - 1) / 2), 100 * gain, np.clip(spread, 0, None),
            fmt=MARKERS[index % len(MARKERS)], ms=4, lw=1, color=SERIES[index % len(SERIES)], label=f"std {std:g}",
        )  # fmt: skip
    panel.axhline(0, color=DATA, lw=1, ls="--")
    panel.set(title="gain and 95% interval", xlabel="separation", ylabel="gain, %", ylim=(-120, 105))
    panel.legend(fontsize="x-small", frameon=False)
