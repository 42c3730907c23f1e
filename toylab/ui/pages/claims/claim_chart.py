"""The figure of a claim, from its row alone: seeds, mean and interval of every effect, and what was claimed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from toylab.ui.charts.grammar import (
    LINE_WIDTH,
    NUMBER,
    PERCENT,
    axis,
    hover,
    layer,
    panel,
    quantity,
    show,
    zero,
)
from toylab.ui.charts.theme import Palette

ROW = 62
"""Height of an effect, in pixels."""


def draw(row: Mapping[str, Any], palette: Palette) -> None:
    """One panel per unit: effects in per cent and plain numbers do not share an axis."""
    for unit in ("share", "number"):
        effects = [effect for effect in row["effects"] if effect["unit"] == unit and effect["values"]]
        if effects:
            spec = _spec(len(effects), unit, palette)
            show(_table(effects), spec, key=f"claim_chart_{unit}", alt=_alt(row["id"], effects))


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
    labels: dict[str, Any] = {"labelExpr": PERCENT} if unit == "share" else {}
    x = quantity("value", {"zero": True, "padding": 12}, axis(palette, tickCount=6, **labels))
    # The name of an effect stands on two lines, parted at its colon.
    names = {"labelLimit": 230, "labelColor": palette.text, "labelExpr": "split(datum.label, ': ')"}
    y = {"field": "effect", "type": "nominal", "sort": None, "axis": axis(palette, **names)}
    at = {"x": x, "y": y}
    reach = at | {"x2": {"field": "to"}}
    told = at | {"tooltip": hover("effect", "seed", ("value", NUMBER))}
    mean = {"shape": "diamond", "filled": True, "size": 90, "opacity": 1}
    blue = palette.chosen
    layers = [
        zero(palette, "x"),
        layer("band", "bar", reach, height=34, color=palette.data, opacity=0.3),
        layer("claimed", "tick", at, size=34, thickness=3, color=palette.baseline),
        layer("seed", "circle", told, size=34, color=blue, opacity=0.55, yOffset=10),
        layer("interval", "rule", reach, strokeWidth=LINE_WIDTH, color=blue, yOffset=-8),
        layer("mean", "point", told, color=blue, yOffset=-8, **mean),
    ]
    return panel(ROW * count + 26, layers)


def _alt(claim: str, effects: list[Mapping[str, Any]]) -> str:
    said = []
    for effect in effects:
        factor, unit = _factor(effect), "%" if effect["unit"] == "share" else ""
        if effect["mean"] is not None:
            said.append(f"{effect['name']}: mean {factor * effect['mean']:.3g}{unit}, {effect['verdict']}")
    return f"Effects of the claim {claim.replace('_', ' ')}. " + "; ".join(said)
