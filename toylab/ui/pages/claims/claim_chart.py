"""The figure of a claim, from its row alone: seeds, mean and interval of every effect, and what was claimed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from toylab.ui.charts.theme import Palette

ROW = 62
"""Height of an effect, in pixels."""


def draw(row: Mapping[str, Any], palette: Palette) -> None:
    """One panel per unit: effects in per cent and plain numbers do not share an axis."""
    for unit in ("share", "number"):
        effects = [effect for effect in row["effects"] if effect["unit"] == unit and effect["values"]]
        if effects:
            st.vega_lite_chart(
                _table(effects),
                _spec(len(effects), unit, palette),
                width="stretch",
                key=f"claim_chart_{unit}",
                alt=_alt(row["id"], effects),
            )


def _factor(effect: Mapping[str, Any]) -> float:
    return 100.0 if effect["unit"] == "share" else 1.0


def _table(effects: list[Mapping[str, Any]]) -> pd.DataFrame:
    rows = []
    for effect in effects:
        factor, name = _factor(effect), effect["name"]
        rows += [
            {"effect": name, "kind": "seed", "value": factor * value, "seed": seed}
            for seed, value in effect["values"].items()
        ]
        if effect["mean"] is not None:
            rows.append({"effect": name, "kind": "mean", "value": factor * effect["mean"]})
        if None not in effect["interval"]:
            low, high = effect["interval"]
            rows.append({"effect": name, "kind": "interval", "value": factor * low, "to": factor * high})
        if effect["range"] is not None:
            low, high = effect["range"]
            rows.append({"effect": name, "kind": "band", "value": factor * low, "to": factor * high})
        else:
            claimed = effect["claimed"] or 0.0
            rows.append({"effect": name, "kind": "claimed", "value": factor * claimed})
    return pd.DataFrame(rows, columns=["effect", "kind", "value", "to", "seed"])


def _spec(count: int, unit: str, palette: Palette) -> dict[str, Any]:
    quiet = {"grid": False, "labelColor": palette.faint, "titleColor": palette.faint, "domain": False}
    label = "datum.label + '%'" if unit == "share" else "datum.label"
    x = {
        "field": "value",
        "type": "quantitative",
        "scale": {"zero": True, "padding": 12},
        "axis": {**quiet, "title": None, "labelExpr": label, "tickCount": 6, "ticks": False},
    }
    y = {
        "field": "effect",
        "type": "nominal",
        "sort": None,
        "axis": {
            **quiet, "title": None, "labelLimit": 230, "ticks": False, "labelColor": palette.text,
            "labelExpr": "split(datum.label, ': ')",
        },
    }  # fmt: skip
    to = {"field": "to"}
    hover = [
        {"field": "effect", "type": "nominal"},
        {"field": "seed", "type": "nominal"},
        {"field": "value", "type": "quantitative", "format": ".4~g"},
    ]
    return {
        "height": ROW * count + 26,
        "padding": {"left": 2, "right": 10, "top": 4, "bottom": 2},
        "layer": [
            {"data": {"values": [{"zero": 0}]}, "mark": {"type": "rule", "color": palette.frame, "aria": False},
             "encoding": {"x": {"field": "zero", "type": "quantitative"}}},
            _layer("band", {"type": "bar", "height": 34, "color": palette.data, "opacity": 0.3},
                   {"x": x, "x2": to, "y": y}),
            _layer("claimed", {"type": "tick", "size": 34, "thickness": 3, "color": palette.baseline},
                   {"x": x, "y": y}),
            _layer("seed", {"type": "circle", "size": 34, "color": palette.chosen, "opacity": 0.55, "yOffset": 10},
                   {"x": x, "y": y, "tooltip": hover}),
            _layer("interval", {"type": "rule", "strokeWidth": 2.5, "color": palette.chosen, "yOffset": -8},
                   {"x": x, "x2": to, "y": y}),
            _layer("mean", {"type": "point", "shape": "diamond", "filled": True, "size": 90, "opacity": 1,
                            "color": palette.chosen, "yOffset": -8}, {"x": x, "y": y, "tooltip": hover}),
        ],
        "config": {"view": {"stroke": None}},
    }  # fmt: skip


def _layer(kind: str, mark: dict[str, Any], encoding: dict[str, Any]) -> dict[str, Any]:
    return {
        "transform": [{"filter": f"datum.kind === '{kind}'"}],
        "mark": {**mark, "aria": False},
        "encoding": encoding,
    }


def _alt(claim: str, effects: list[Mapping[str, Any]]) -> str:
    said = []
    for effect in effects:
        factor, unit = _factor(effect), "%" if effect["unit"] == "share" else ""
        if effect["mean"] is not None:
            said.append(f"{effect['name']}: mean {factor * effect['mean']:.3g}{unit}, {effect['verdict']}")
    return f"Effects of the claim {claim.replace('_', ' ')}. " + "; ".join(said)
