"""Building blocks of every chart, as Vega-Lite dictionaries: axes, scales, rules, layers, panels, and `show`.

A chart is a dictionary made of these. It must not change while only its data change: Streamlit then redraws it in
place. `show` is the only place in the app that draws a chart, and it does not draw one without alt text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from toylab.ui.charts.theme import Palette

Spec = dict[str, Any]

SMALL = 11
"""Font size of an axis title and of the text at a rule."""
DASHED = [3, 3]
"""Dashes of a rule: a floor, zero, a change of a setting."""
DASHES = ([1, 0], [7, 3], [2, 2], [10, 3, 2, 3], [4, 4], [1, 3])
"""Dashes of up to six runs or lanes, the first one solid: they are told apart without colours too."""
LINE_WIDTH = 2
NUMBER = ".4~g"
"""Format of a number in a tooltip: four significant digits, no trailing zeros."""
SHORT = (
    "datum.value >= 1e15 ? format(datum.value, '.0e') : datum.value >= 1e12 ? datum.value / 1e12 + 'T'"
    " : datum.value >= 1e9 ? datum.value / 1e9 + 'G' : datum.value >= 1e6 ? datum.value / 1e6 + 'M'"
    " : datum.value >= 1e3 ? datum.value / 1e3 + 'k' : format(datum.value, '~g')"
)
"""Axis labels as an expression: 0.1, 30, 1k, 10M. Vega's own "~s" writes 0k and, below one, 100m for 0.1."""
PERCENT = "datum.label + '%'"
"""Axis labels of values in per cent, as an expression."""


def show(data: pd.DataFrame, spec: Spec, *, key: str, alt: str, select: str = "") -> list[dict[str, Any]]:
    """Draw a chart.

    Args:
        data: its table.
        spec: a `panel` or a `square_panel`.
        key: Streamlit's key of the chart.
        alt: what the chart shows, in words, for readers who do not see it.
        select: a selection parameter of ``spec``; a click on a mark then reruns the page.

    Returns:
        The rows that ``select`` holds; without one, nothing.

    Raises:
        ValueError: an empty ``alt``.
    """
    if not alt.strip():
        raise ValueError(f"the chart {key!r} has no alt text: say in words what it shows")
    # "content" for a chart with a width: Streamlit would lay it out again on a narrow page, out of its aspect.
    width = "content" if "width" in spec else "stretch"
    if not select:
        st.vega_lite_chart(data, spec, width=width, key=key, alt=alt)
        return []
    event = st.vega_lite_chart(
        data, spec, width=width, key=key, alt=alt, on_select="rerun", selection_mode=select
    )
    # Nothing selected is an empty dictionary, a selection a list.
    return list(event.get("selection", {}).get(select, []))


# Panels.


def panel(height: int, layers: Sequence[Spec], *, right: int = 10, **extra: Any) -> Spec:
    """A chart as wide as its container, without a frame.

    Args:
        height: in pixels.
        layers: from back to front.
        right: padding in pixels, room for what is written at the end of a line.
        extra: further keys of the specification.
    """
    return {
        "height": height,
        "padding": {"left": 2, "right": right, "top": 4, "bottom": 2},
        **extra,
        "layer": list(layers),
        "config": {"view": {"stroke": None}},
    }


def square_panel(side: int, palette: Palette, **body: Any) -> Spec:
    """A framed square of ``side`` pixels in all; ``body`` is a "layer", or a "mark" and its "encoding"."""
    return {
        "width": side,
        "height": side,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 1, "right": 1, "top": 1, "bottom": 1},
        "config": {"view": {"stroke": palette.frame, "strokeWidth": 1}},
        **body,
    }


# Scales.


def extent(low: float, high: float) -> Spec:
    """A linear scale with exactly these ends."""
    return {"domain": [low, high], "nice": False, "zero": False}


def linear(padding: int) -> Spec:
    """A linear scale around the data, ``padding`` pixels wider at each end."""
    return {"zero": False, "padding": padding}


def logarithmic(padding: int | None = None, *, domain: tuple[float, float] | None = None) -> Spec:
    """A logarithmic scale around the data, ``padding`` pixels wider at each end, or with the ends of ``domain``."""
    ends = {"padding": padding} if domain is None else {"domain": list(domain)}
    return {"type": "log", "nice": False, **ends}


def ticks(digits: Sequence[int], powers: range) -> list[float]:
    """Round numbers for a logarithmic axis: each of ``digits`` times each power of ten."""
    return [float(f"{digit}e{power}") for power in powers for digit in digits]


DECADES = ticks((1, 3), range(-4, 16))
"""Few round numbers, whatever range a loss takes, also on its way to divergence."""
FINE = ticks((1, 2, 5), range(-3, 3))
"""Round numbers for a distance: an axis of less than a decade still has two labels."""


# Axes and channels.


def axis(palette: Palette, title: str | None = None, *, line: bool = False, **options: Any) -> Spec:
    """A quiet axis: no grid, faint labels; ``line`` draws the axis itself, with ticks."""
    drawn = {"domain": True, "domainColor": palette.frame} if line else {"domain": False, "ticks": False}
    words = {"titleColor": palette.faint, "titleFontSize": SMALL, "titlePadding": 2} if title else {}
    return {"title": title, "grid": False, "labelColor": palette.faint, **words, **drawn, **options}


def quantity(field: str, scale: Spec, axis: Spec | None) -> Spec:
    """A position channel of a number."""
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def value(scale: Spec, palette: Palette, **options: Any) -> Spec:
    """The y channel of the column "value", with round numbers at a drawn axis."""
    return quantity("value", scale, axis(palette, line=True, tickCount=4, labelExpr=SHORT, **options))


def steps(last: float, palette: Palette) -> Spec:
    """The x channel of training curves: the column "step" from 0 to ``last``."""
    return quantity("step", extent(0, last), axis(palette, "steps", line=True, tickCount=4, labelExpr=SHORT))


def coordinate(field: str, centre: float, half: float, palette: Palette, *, inside: bool = True) -> Spec:
    """A channel of a coordinate of the plane, around ``centre``; its labels stand ``inside`` the frame."""
    if not inside:
        return quantity(field, extent(centre - half, centre + half), axis(palette, tickCount=5))
    # Labels inside the frame: squares side by side keep their full size and one scale.
    shift: Spec = {"labelPadding": -16, "labelBaseline": "middle"}
    if field == "y":
        shift = {"labelPadding": -6, "labelAlign": "left"}
    look = {"labelBound": True, "labelOpacity": 0.8, "labelFontSize": 10}
    return quantity(field, extent(centre - half, centre + half), axis(palette, tickCount=5, **look, **shift))


def empty(channel: Spec) -> Spec:
    """``channel`` without an axis where nothing is measured yet: there is no logarithm of nothing."""
    return channel | {"axis": None, "scale": {"domain": [0, 1]}}


def by(field: str, values: Mapping[str, Any]) -> Spec:
    """A channel with one value (a colour, dashes, a size) per name in the column ``field``; no legend."""
    scale = {"domain": list(values), "range": list(values.values())}
    return {"field": field, "type": "nominal", "legend": None, "scale": scale}


def words(field: str) -> Spec:
    """The text channel of a column."""
    return {"field": field, "type": "nominal"}


def hover(*fields: str | tuple[str, str] | tuple[str, str, str]) -> list[Spec]:
    """A tooltip: a column of words, or of numbers as (column, format) or (column, format, title)."""
    rows = []
    for entry in fields:
        if isinstance(entry, str):
            rows.append({"field": entry, "type": "nominal"})
        else:
            names = ("field", "format", "title")
            rows.append({"type": "quantitative", **dict(zip(names, entry, strict=False))})
    return rows


# Layers.


def layer(kind: str | None, mark: str, encoding: Mapping[str, Any], **look: Any) -> Spec:
    """Marks of the rows whose column "kind" is ``kind``, or of all rows.

    Args:
        kind: of the rows.
        mark: type of the mark.
        encoding: channels.
        look: properties of the mark.
    """
    rows = {} if kind is None else {"transform": [{"filter": f"datum.kind === '{kind}'"}]}
    # `alt` tells screen readers what the chart shows: marks with data would be announced point by point, those
    # without data as pictures without a name.
    return {**rows, "mark": {"type": mark, **look, "aria": False}, "encoding": dict(encoding)}


def level(y: Spec, palette: Palette, kind: str = "floor") -> list[Spec]:
    """A dashed level rule at the value of each row of ``kind``, with its "label" above the left end."""
    at = {"x": {"value": 0}, "y": y, "text": words("label")}
    return [_rule(kind, {"y": y}, palette), _at_rule(kind, at, palette, dy=-7)]


def upright(x: Spec, palette: Palette, kind: str = "event") -> list[Spec]:
    """A dashed upright rule at the value of each row of ``kind``, with its "label" at the top."""
    at = {"x": x, "y": {"value": 5}, "text": words("label")}
    return [_rule(kind, {"x": x}, palette), _at_rule(kind, at, palette)]


def zero(palette: Palette, channel: str = "y") -> Spec:
    """A dashed rule at zero of the channel "x" or "y"."""
    # Data of its own: otherwise one rule per row of the chart's table.
    return {"data": {"values": [{}]}, **_rule(None, {channel: {"datum": 0}}, palette)}


def _rule(kind: str | None, at: Spec, palette: Palette) -> Spec:
    return layer(kind, "rule", at, strokeWidth=1, strokeDash=DASHED, color=palette.faint)


def _at_rule(kind: str, at: Spec, palette: Palette, **look: Any) -> Spec:
    return layer(kind, "text", at, fontSize=SMALL, color=palette.faint, align="left", dx=3, **look)
