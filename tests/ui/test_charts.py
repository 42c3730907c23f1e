"""Charts: one place draws them, never without alt text, and a specification stays while only its data change."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st

import toylab.ui
from toylab.ui.charts import compare_charts, curves, grammar, theme

FOLDER = Path(toylab.ui.__file__).parent
GRAMMAR = Path(grammar.__file__)
DRAWING = {name for name in dir(st) if name.endswith("_chart")} | {"map", "pyplot"}


def calls_of_charts(source: str) -> list[str]:
    """The calls in ``source`` that draw a chart by Streamlit's own means: st.line_chart(...) and the like."""
    names = [
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    ]
    # `map` is a builtin too: only st.map draws.
    builtin = "st.map(" not in source
    return [name for name in names if name in DRAWING and not (name == "map" and builtin)]


def test_a_chart_that_bypasses_the_grammar_is_found():
    assert {"vega_lite_chart", "altair_chart", "line_chart", "plotly_chart"} <= DRAWING
    assert calls_of_charts("def draw():\n    st.vega_lite_chart(table, spec)") == ["vega_lite_chart"]
    assert calls_of_charts("from streamlit import line_chart\nline_chart(table)") == ["line_chart"]
    assert calls_of_charts("list(map(str, values))") == []


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_chart_goes_through_the_grammar(path):
    found = calls_of_charts(path.read_text(encoding="utf-8"))
    assert found == (["vega_lite_chart"] * 2 if path == GRAMMAR else [])


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_chart_without_alt_text_is_not_drawn(alt, monkeypatch):
    monkeypatch.setattr(st, "vega_lite_chart", lambda *_, **__: pytest.fail("drawn"))
    with pytest.raises(ValueError, match="'loss' has no alt text"):
        grammar.show(pd.DataFrame(), grammar.panel(100, []), key="loss", alt=alt)
    alt_parameter = inspect.signature(grammar.show).parameters["alt"]
    assert alt_parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert alt_parameter.default is inspect.Parameter.empty


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """What is handed to Streamlit: (data, specification, options)."""
    found = []
    monkeypatch.setattr(
        st, "vega_lite_chart", lambda data, spec, **options: found.append((data, spec, options)) or {}
    )
    return found


def test_a_specification_stays_while_only_the_data_change(drawn):
    colours = theme.SERIES["light"]
    for size in (3, 9):
        points = np.zeros((size, 2))
        curves.square(points, points, (0.0, 0.0, 1.0), colours[0], theme.LIGHT, "square", "points")
        lines = pd.DataFrame({"step": range(1, 1 + size), "value": 1.0 / size, "lane": "chosen"})
        marks = pd.DataFrame(columns=["step", "value", "kind", "label"]).astype({"value": float})
        curves.curve(lines, marks, 10, theme.LIGHT, "curve", "loss")
    square, curve = drawn[:2]
    assert (square[1], curve[1]) == (drawn[2][1], drawn[3][1])
    # A square keeps its size; a curve is as wide as the page leaves it.
    assert (square[2]["width"], curve[2]["width"]) == ("content", "stretch")


def test_no_mark_is_announced_by_itself(drawn):
    history = pd.DataFrame({"loss": [3.0, 0.2]}, index=pd.Index([1, 2], name="step"))
    colours = theme.SERIES["light"]
    compare_charts.curves(
        [history], "A", ["one"], "loss", [(0.1, "floor 0.1")], colours, theme.LIGHT, "key", "the loss"
    )
    ((_, spec, options),) = drawn
    assert options["alt"] == "the loss"
    assert all(layer["mark"]["aria"] is False for layer in spec["layer"])


def test_what_is_measured_nowhere_has_no_logarithmic_axis():
    y = grammar.value(grammar.logarithmic(8), theme.LIGHT)
    assert y["scale"]["type"] == "log"
    assert grammar.empty(y)["axis"] is None
    assert "type" not in grammar.empty(y)["scale"]
