"""Charts of a sweep: its grid of cells as they fill, and the scores over beta with intervals and floor."""

import math
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.experiments.results import Arm, Result, group, value_of
from toylab.metrics.score import Score
from toylab.ui.charts.grammar import (
    DECADES,
    FINE,
    LINE_WIDTH,
    NUMBER,
    SMALL,
    axis,
    empty,
    extent,
    hover,
    layer,
    level,
    logarithmic,
    panel,
    quantity,
    show,
    value,
    words,
)
from toylab.ui.charts.theme import Palette
from toylab.ui.jobs import SweepSnapshot
from toylab.ui.jobs.sweep_job import SCORE_KEYS, SCORE_N

METRICS = {
    "sw1": "Wasserstein distance",
    "grad_variance": "Gradient variance",
    "loss": "Loss",
}
"""What a cell may show; the distance has n and a floor, the others are of the training itself."""
HEIGHT = 300
SELECTION = "cell"


def table(snapshot: SweepSnapshot) -> pd.DataFrame:
    """One row per cell: beta, seed, its state in a word, and its numbers (NaN before it is finished)."""
    rows = []
    for cell, (config, score) in enumerate(zip(snapshot.configs, snapshot.scores, strict=True)):
        state = "waiting"
        if score is not None:
            state = "diverged" if score.diverged_at >= 0 else "done"
        elif cell in snapshot.current and not snapshot.state.is_final:
            state = "training"
        numbers = {
            name: getattr(score, name) if score else math.nan for name in (*METRICS, "stderr", "floor")
        }
        rows.append({"cell": cell, "beta": config.beta, "seed": config.seed, "state": state, **numbers})
    return pd.DataFrame(rows)


def arms(snapshot: SweepSnapshot) -> list[Arm]:
    """The finished cells as results, an arm per beta in ascending order."""
    results = [
        Result(
            config,
            "done" if score.diverged_at < 0 else "diverged",
            Score(score.sw1, score.stderr, SCORE_N, score.floor, SCORE_KEYS),
            {"loss": score.loss, "grad_variance": score.grad_variance},
        )
        for config, score in zip(snapshot.configs, snapshot.scores, strict=True)
        if score is not None
    ]
    return sorted(group(results, lambda result: result.config.beta), key=lambda arm: arm.key)


def summary(snapshot: SweepSnapshot, metric: str) -> pd.DataFrame:
    """Per beta the number of finished seeds, their mean and its 95% t interval (NaN from a single seed)."""
    read = value_of if metric == "sw1" else lambda result: result.others[metric]
    rows = []
    for arm in arms(snapshot):
        if arm.counted:
            found = arm.interval(read)
            rows.append((arm.key, found.n, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["beta", "n", "mean", "low", "high"])


def grid(cells: pd.DataFrame, metric: str, palette: Palette, key: str, *, selectable: bool) -> int | None:
    """Cells as a grid of beta by seed; the cell that was clicked, where clicking is offered."""
    finite = np.where(cells["state"] == "done", cells[metric].to_numpy(float), np.nan)
    labels = [_label(state, value) for state, value in zip(cells["state"], finite, strict=True)]
    shown = cells.assign(value=finite, label=labels)
    usable = bool(np.any(finite[np.isfinite(finite)] > 0))
    scale = {"scheme": "cividis", "type": "log", "reverse": True}
    colour = {"field": "value", "type": "quantitative", "legend": None, "scale": scale}
    fill = {"condition": {"test": "isValid(datum.value)", **colour}, "value": "transparent"}
    # Dark cells are the high ones: their label is light.
    middle = float(np.sqrt(np.nanmin(finite) * np.nanmax(finite))) if usable else 1.0
    inks = [
        {"test": f"isValid(datum.value) && datum.value > {middle}", "value": "#FFFFFF"},
        {"test": "isValid(datum.value)", "value": "#14181D"},
    ]
    ink = {"condition": inks, "value": palette.faint}
    colour = {"color": fill if usable else {"value": "transparent"}}
    boxes = layer(None, "rect", colour, stroke=palette.frame, strokeWidth=1)
    if selectable:
        boxes["params"] = [{"name": SELECTION, "select": {"type": "point", "fields": ["cell"]}}]
    layers = [boxes, layer(None, "text", {"text": words("label"), "color": ink}, fontSize=SMALL)]
    encoding = {
        "x": {"field": "beta", "type": "ordinal", "axis": axis(palette, "β", labelAngle=0)},
        "y": {"field": "seed", "type": "ordinal", "axis": axis(palette, "seed")},
        "tooltip": _tooltip(metric),
    }
    done = list(cells["state"]).count("done")
    chosen = show(
        shown,
        panel(HEIGHT, layers, encoding=encoding),
        key=f"{key}_chosen" if selectable else key,
        alt=f"{METRICS[metric]} of {done} finished of {len(cells)} cells, by beta and seed",
        select=SELECTION if selectable else "",
    )
    return int(chosen[0]["cell"]) if chosen else None


def over_beta(snapshot: SweepSnapshot, metric: str, palette: Palette, key: str) -> None:
    """Finished cells over beta, their means with 95% intervals, and the floor of the distance."""
    cells = table(snapshot)
    done = cells.loc[cells["state"] == "done"]
    means = summary(snapshot, metric)
    points = done.assign(kind="seed", value=done[metric])[["beta", "seed", "value", "kind"]]
    bands = means.rename(columns={"mean": "value"}).assign(kind="mean", bottom=means["low"].clip(lower=1e-9))
    floor = float(np.mean(done["floor"].to_numpy(float))) if metric == "sw1" and len(done) else math.nan
    level_row = pd.DataFrame({"kind": ["floor"], "value": [floor], "label": ["floor"]})
    data = pd.concat([points, bands, level_row], ignore_index=True)
    places = cells["beta"].to_numpy(float)
    low, high = float(places.min()), float(places.max())
    margin = 0.04 * max(high - low, 0.5)
    x = quantity("beta", extent(low - margin, high + margin), axis(palette, "β"))
    scale = logarithmic(domain=span(data["value"].to_numpy(float)))
    y = value(scale, palette, values=FINE if metric == "sw1" else DECADES)
    if not len(done):
        y = empty(y)
    at = {"x": x, "y": y}
    band = {"x": x, "y": {**y, "field": "bottom"}, "y2": {"field": "high"}}
    numbers = hover(*((name, NUMBER) for name in ("beta", "value", "low", "high", "n")))
    line = {"strokeWidth": LINE_WIDTH, "point": {"size": 45, "aria": False}, "color": palette.chosen}
    layers = [
        *level(y, palette),
        layer("mean", "area", band, opacity=0.18, color=palette.chosen, clip=True),
        layer("mean", "line", at | {"tooltip": numbers}, **line),
        layer("seed", "circle", at, size=22, opacity=0.6, color=palette.text),
    ]
    alt = f"{METRICS[metric]} over beta: a point per seed, means with 95% intervals"
    show(data, panel(HEIGHT, layers), key=key, alt=alt)


def span(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Ends of a logarithmic axis around positive values; an interval that reaches below 0 runs out of it.

    >>> span(np.array([0.5, np.nan, 0.25]))
    (0.2, 0.625)
    """
    positive = values[values > 0]
    if not len(positive):
        return 1e-3, 1.0
    return 0.8 * float(positive.min()), 1.25 * float(positive.max())


def _label(state: str, value: float) -> str:
    if state == "done":
        return f"{value:.2g}" if value < 1000 else f"{value:.0f}"
    return {"waiting": "", "training": "…", "diverged": "diverged"}[state]


def _tooltip(metric: str) -> list[dict[str, Any]]:
    beside = ("stderr", "floor") if metric == "sw1" else ()
    return hover("beta", "seed", "state", *((name, NUMBER) for name in (metric, *beside)))
