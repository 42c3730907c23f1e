"""The curves of Compare and Images: up to six runs over one another.

A run is told by its letter, its colour and its dashes: never by colour alone.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from toylab.ui.charts.grammar import (
    DASHES,
    DECADES,
    LINE_WIDTH,
    SMALL,
    by,
    empty,
    hover,
    layer,
    level,
    linear,
    logarithmic,
    panel,
    show,
    steps,
    value,
    words,
)
from toylab.ui.charts.theme import Palette

LETTERS = "ABCDEF"
MAX_ROWS = 400
"""Points of a curve; of a longer history every so many rows are drawn, each with its exact values."""
HEIGHT = 250
LETTER_HEIGHT = 0.06
"""Height of a letter at the end of a curve, as a share of the chart's height."""


def rows_of(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """step and value of one column where it is finite, thinned to what a chart can show; the last row stays."""
    if column not in history:
        return pd.DataFrame({"step": np.zeros(0), "value": np.zeros(0)})
    steps, values = history.index.to_numpy(float), history[column].to_numpy(float)
    finite = np.isfinite(values)
    every = max(1, -(-int(finite.sum()) // MAX_ROWS))
    return pd.DataFrame({"step": steps[finite][::-every][::-1], "value": values[finite][::-every][::-1]})


def curves(
    histories: Sequence[pd.DataFrame],
    letters: Sequence[str],
    labels: Sequence[str],
    column: str,
    floors: Sequence[tuple[float, str]],
    colours: Sequence[str],
    palette: Palette,
    key: str,
    alt: str,
) -> None:
    """One column of every history over steps; the nearest point shows its exact values on hover.

    Args:
        histories: one table per run, indexed by step.
        letters: one per run.
        labels: one per run, for the tooltip.
        column: of the histories.
        floors: (value, text) of level rules.
        colours: one per letter of `LETTERS`.
        palette: of the page.
        key: of the chart.
        alt: what the chart shows, in words.
    """
    parts = [
        rows_of(history, column).assign(run=letter, label=label, kind="line")
        for history, letter, label in zip(histories, letters, labels, strict=True)
    ]
    rules = pd.DataFrame(
        [{"step": 0.0, "value": value, "run": "", "label": text, "kind": "floor"} for value, text in floors],
        columns=["step", "value", "run", "label", "kind"],
    ).astype({"step": float, "value": float})
    values = np.concatenate(
        [rules["value"].to_numpy(float), *(part["value"].to_numpy(float) for part in parts)]
    )
    # Less than a decade would show one tick, or none.
    log = len(values) > 0 and 0 < 10 * float(np.min(values)) <= float(np.max(values))
    ends = [part.tail(1) for part in parts if len(part)]
    columns = _columns([float(end["value"].iloc[0]) for end in ends], values, log)
    ends = [end.assign(kind=f"end{place}") for end, place in zip(ends, columns, strict=True)]
    table = pd.concat([*parts, *ends, rules], ignore_index=True)
    last = float(np.max(table["step"].to_numpy(float), initial=1.0))
    x = steps(last, palette)
    y = value(logarithmic(8), palette, values=DECADES) if log else value(linear(8), palette)
    if not len(values):
        y = empty(y)
    at = {"x": x, "y": y, "color": by("run", dict(zip(LETTERS, colours, strict=True)))}
    near = {
        "name": "near",
        "select": {"type": "point", "on": "pointermove", "nearest": True, "clear": "pointerout"},
    }
    lit = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    exact = [{**words("label"), "title": "run"}, *hover(("step", ","), ("value", ".6~g"))]
    dash = {"strokeDash": by("run", dict(zip(LETTERS, DASHES, strict=True)))}
    names = {"fontWeight": "bold", "align": "left", "fontSize": SMALL}
    layers = [
        *level(y, palette),
        layer("line", "line", at | dash, strokeWidth=LINE_WIDTH),
        *(
            layer(f"end{place}", "text", at | {"text": words("run")}, dx=4 + 9 * place, **names)
            for place in sorted(set(columns))
        ),
        layer("line", "point", at | {"opacity": lit, "tooltip": exact}, filled=True, size=60)
        | {"params": [near]},
    ]
    show(table, panel(HEIGHT, layers, right=14 + 9 * max(columns, default=0)), key=key, alt=alt)


def _columns(ends: Sequence[float], values: np.ndarray, log: bool) -> list[int]:
    """For the letter at the end of each curve the column it stands in: those at one height stand in a row."""
    if not len(values):
        return [0] * len(ends)
    scale = np.log if log else np.asarray
    span = float(np.ptp(scale(values))) or 1.0
    taken: list[list[float]] = [[] for _ in ends]
    columns = []
    for height in (float(scale(end)) / span for end in ends):
        place = next(
            place for place, there in enumerate(taken) if all(abs(height - h) > LETTER_HEIGHT for h in there)
        )
        taken[place].append(height)
        columns.append(place)
    return columns


def swatch(dash: list[int], index: int) -> str:
    """A line as in the charts, as a background: the dashes of a run in its colour."""
    stops, at = [], 0
    for place, length in enumerate(dash):
        colour = "transparent" if place % 2 else f"var(--series{index})"
        stops.append(f"{colour} {at}px {at + length}px")
        at += length
    return f"repeating-linear-gradient(90deg, {', '.join(stops)})"
