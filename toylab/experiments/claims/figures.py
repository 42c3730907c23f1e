"""One figure per claim, from the row's JSON alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from toylab.plots.figures import BASELINE, CHOSEN, DATA, MARKERS, SERIES

ROW_HEIGHT = 0.55
MAX_ARMS = 40


def claim_figure(row: Mapping[str, Any]) -> Figure:
    """Left: each effect with its seeds, mean, interval and what was claimed. Right: the scores behind them.

    Raises:
        ValueError: a row without effects.
    """
    effects = row["effects"]
    if not effects:
        raise ValueError(f"{row['id']} was not measured: nothing to draw")
    num_arms = sum(len(effect["arms"]) for effect in effects)
    shows_arms = 0 < num_arms <= MAX_ARMS
    height = 1.3 + max(ROW_HEIGHT * len(effects), 0.24 * num_arms * shows_arms)
    figure = Figure(figsize=(10.5 if shows_arms else 6.5, height), layout="constrained")
    axes = figure.subplots(1, 2 if shows_arms else 1, squeeze=False)[0]
    _draw_effects(axes[0], effects)
    if shows_arms:
        _draw_arms(axes[1], effects)
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="y", labelsize="small")
    figure.suptitle(f"{row['id']}: {row['verdict']}", x=0.01, ha="left", fontsize="medium")
    return figure


def _draw_effects(panel, effects) -> None:
    names = []
    for height, effect in enumerate(reversed(effects)):
        factor = 100 if effect["unit"] == "share" else 1
        values = factor * np.array(list(effect["values"].values()), float)
        names.append(f"{effect['name']}\n{effect['verdict']}")
        if effect["range"] is not None:
            first, last = factor * effect["range"][0], factor * effect["range"][1]
            panel.fill_betweenx([height - 0.32, height + 0.32], first, last, color=DATA, alpha=0.35, lw=0)
        if effect["claimed"] is not None:
            claimed = factor * effect["claimed"]
            panel.plot([claimed] * 2, [height - 0.32, height + 0.32], color=BASELINE, lw=2.5)
        panel.plot(
            values, np.full(len(values), height - 0.16), ls="", marker="o", ms=3.5, color=CHOSEN, alpha=0.6
        )
        if effect["mean"] is None:
            continue
        mean = factor * effect["mean"]
        panel.plot([mean], [height + 0.12], ls="", marker="D", ms=5, color=CHOSEN)
        if None not in effect["interval"]:
            low, high = (factor * end for end in effect["interval"])
            panel.plot([low, high], [height + 0.12] * 2, color=CHOSEN, lw=2)
    panel.axvline(0, color="black", lw=0.8)
    unit = "per cent" if effects[0]["unit"] == "share" else "effect"
    panel.set(
        yticks=range(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4),
        xlabel=f"{unit}: seeds, mean, 95% interval; orange or grey band: claimed",
    )  # fmt: skip


def _draw_arms(panel, effects) -> None:
    names, height = [], 0
    for index, effect in reversed(list(enumerate(effects))):
        for label, scores in reversed(effect["arms"].items()):
            values = list(scores.values())
            colour, marker = SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)]
            panel.plot(values, [height] * len(values), ls="", marker=marker, ms=4, color=colour, alpha=0.7)
            if effect["floor"] is not None and effect["kind"] == "at_least":
                panel.plot([effect["floor"]] * 2, [height - 0.4, height + 0.4], color=DATA, lw=2)
            names.append(label)
            height += 1
    panel.set(
        yticks=range(height), yticklabels=names, ylim=(-0.6, height - 0.4), xlabel="per seed; grey: floor"
    )
