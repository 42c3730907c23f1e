"""Training curves of up to six runs over one another.

A run has a letter, a colour and dashes: colour alone would not be enough.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from toylab.ui.charts.curves import DECADES, SHORT, layer
from toylab.formatting import short
from toylab.ui.charts import theme
from toylab.ui.charts.theme import Palette
from toylab.ui.runs.entry import Entry
from toylab.ui.text.plain import plain

LETTERS = "ABCDEF"
DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 4], [1, 3])
"""Line styles in the order of the letters: solid, and five kinds of dashes."""
MAX_ROWS = 400
"""Points of a curve; a longer history is thinned, and the rows that stay keep their exact values."""
HEIGHT = 250
LETTER_HEIGHT = 0.06
"""Height of a letter at the end of a curve, as a share of the chart's."""
FLOOR = "_floor"
"""Ending of the column of floors that belongs to a column of distances."""


def rows_of(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """step and value of one column where it is finite, thinned to what a chart can show; the last row stays."""
    if column not in history:
        return pd.DataFrame({"step": np.zeros(0), "value": np.zeros(0)})
    steps, values = history.index.to_numpy(float), history[column].to_numpy(float)
    finite = np.isfinite(values)
    every = max(1, -(-int(finite.sum()) // MAX_ROWS))
    return pd.DataFrame({"step": steps[finite][::-every][::-1], "value": values[finite][::-every][::-1]})


def draw(page: str, chosen: Mapping[str, Entry], columns: Mapping[str, str]) -> None:
    """One chart for each of ``columns``: name in the histories -> title."""
    palette, colours = theme.palette(), theme.series()
    with st.container(key=f"{page}_curves", horizontal=True):
        for index, (column, title) in enumerate(columns.items()):
            with st.container(key=f"{page}_curve_{index}"):
                st.markdown(f"**{plain(title)}**")
                curves(
                    [entry.history for entry in chosen.values()],
                    list(chosen),
                    [f"{letter}: {entry.label}" for letter, entry in chosen.items()],
                    column,
                    floors(chosen, column),
                    colours,
                    palette,
                    key=f"{page}_chart_{column}",
                    alt=f"{title} over steps: {_ends(chosen, column)}",
                )


def floors(chosen: Mapping[str, Entry], column: str) -> list[tuple[float, str]]:
    """The floor of each set of data and number of samples among the runs, with the letters that it applies to."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for letter, entry in chosen.items():
        config = entry.config
        key = config.dataset, str(config.dataset_options), config.eval_samples
        groups.setdefault(key, []).append(letter)
    found = []
    for (_, _, count), letters in groups.items():
        values = [last(chosen[letter], f"{column}{FLOOR}") for letter in letters]
        if known := [value for value in values if value is not None]:
            whose = f" {', '.join(letters)}" if len(groups) > 1 else ""
            found.append((known[0], f"floor{whose} {short(known[0])}, n = {count:,}"))
    return found


def last(entry: Entry, column: str) -> float | None:
    """The last finite value of a column, None where there is none."""
    values = rows_of(entry.history, column)["value"]
    return float(values.iloc[-1]) if len(values) else None


def _ends(chosen: Mapping[str, Entry], column: str) -> str:
    """The last value of every curve, in words."""
    ends = {letter: last(entry, column) for letter, entry in chosen.items()}
    return ", ".join(
        f"{letter} has none" if end is None else f"{letter} ends at {end:.4g}" for letter, end in ends.items()
    )


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
        letters: of the runs.
        labels: of the runs, for the hover.
        column: of the histories.
        floors: (value, text) of level rules.
        colours: of all letters.
        palette: of the page.
        key: of the chart.
        alt: text in place of the chart, for screen readers.
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
    logarithmic = len(values) > 0 and 0 < 10 * float(np.min(values)) <= float(np.max(values))
    ends = [part.tail(1) for part in parts if len(part)]
    columns = _columns([float(end["value"].iloc[0]) for end in ends], values, logarithmic)
    ends = [end.assign(kind=f"end{place}") for end, place in zip(ends, columns, strict=True)]
    table = pd.concat([*parts, *ends, rules], ignore_index=True)
    quiet = {"grid": False, "labelColor": palette.faint, "tickCount": 4, "labelExpr": SHORT, "title": None}
    below = {**quiet, "title": "steps", "titleColor": palette.faint, "titleFontSize": 10.5, "titlePadding": 2}
    last = float(np.max(table["step"].to_numpy(float), initial=1.0))
    x = {
        "field": "step",
        "type": "quantitative",
        "axis": below,
        "scale": {"domain": [0, last], "nice": False},
    }
    scale = {"type": "log", "nice": False, "padding": 8} if logarithmic else {"zero": False, "padding": 8}
    ticks = {"values": DECADES} if logarithmic else {}
    y = {
        "field": "value",
        "type": "quantitative",
        "axis": {**quiet, **ticks, "domain": True, "domainColor": palette.frame},
        "scale": scale if len(values) else {"domain": [0, 1]},
    }
    runs = {"field": "run", "type": "nominal", "legend": None}
    colour = {**runs, "scale": {"domain": list(LETTERS), "range": list(colours)}}
    dash = {**runs, "scale": {"domain": list(LETTERS), "range": DASHES}}
    hover = [
        {"field": "label", "type": "nominal", "title": "run"},
        {"field": "step", "type": "quantitative", "format": ","},
        {"field": "value", "type": "quantitative", "format": ".6~g"},
    ]
    near = {
        "name": "near",
        "select": {"type": "point", "on": "pointermove", "nearest": True, "clear": "pointerout"},
    }
    lit = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    faint = {"strokeWidth": 1, "strokeDash": [3, 3], "color": palette.faint}
    text = {"type": "text", "fontSize": 10.5, "align": "left"}
    spec = {
        "height": HEIGHT,
        "padding": {"left": 2, "right": 14 + 9 * max(columns, default=0), "top": 6, "bottom": 2},
        "layer": [
            layer("floor", {"type": "rule", **faint}, {"y": y}),
            layer(
                "floor",
                {**text, "color": palette.faint, "dx": 3, "dy": -7},
                {"x": {"value": 0}, "y": y, "text": {"field": "label", "type": "nominal"}},
            ),
            layer(
                "line",
                {"type": "line", "strokeWidth": 2},
                {"x": x, "y": y, "color": colour, "strokeDash": dash},
            ),
            *(
                layer(
                    f"end{place}",
                    {**text, "fontWeight": "bold", "dx": 4 + 9 * place, "fontSize": 11},
                    {"x": x, "y": y, "color": colour, "text": {"field": "run", "type": "nominal"}},
                )
                for place in sorted(set(columns))
            ),
            layer(
                "line",
                {"type": "point", "filled": True, "size": 60},
                {"x": x, "y": y, "color": colour, "opacity": lit, "tooltip": hover},
            )
            | {"params": [near]},
        ],
        "config": {"view": {"stroke": None}},
    }
    st.vega_lite_chart(table, spec, width="stretch", key=key, alt=alt)


def _columns(ends: Sequence[float], values: np.ndarray, logarithmic: bool) -> list[int]:
    """For the letter at the end of each curve the column it stands in: those at one height stand in a row."""
    if not len(values):
        return [0] * len(ends)
    scale = np.log if logarithmic else np.asarray
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


def tags(*containers: str) -> str:
    """The style that sets a run's letter, with its colour and dashes, before the first line of its containers.

    Args:
        containers: beginnings of their keys; the letter follows.
    """
    rules = []
    for index, (letter, dash) in enumerate(zip(LETTERS, DASHES, strict=True)):
        places = ", ".join(f".st-key-{each}{letter} p:first-of-type::before" for each in containers)
        rules.append(f"""
{places} {{
  content: "{letter}"; display: inline-block; width: 30px; margin-right: 0.5em; padding-bottom: 4px;
  text-align: center; font-weight: 700; color: var(--series{index});
  background: {_swatch(dash, index)} bottom / 100% 3px no-repeat;
}}""")
    return "".join(rules)


def _swatch(dash: list[int], index: int) -> str:
    """A line as in the charts, as a background: the dashes of a run in its colour."""
    stops, at = [], 0
    for place, length in enumerate(dash):
        colour = "transparent" if place % 2 else f"var(--series{index})"
        stops.append(f"{colour} {at}px {at + length}px")
        at += length
    return f"repeating-linear-gradient(90deg, {', '.join(stops)})"
