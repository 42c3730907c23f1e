"""A square to draw points in, with mouse, finger or keys; what comes back is checked before it is believed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from jaxtyping import Float
from streamlit.components.v2 import component

HALF = 4.0
"""Half the side of the square: as wide as the built-in sets."""
MAX_POINTS = 5_000

_HTML = """
<section>
<canvas width="584" height="584" tabindex="0" role="application"
  aria-label="Drawing pad: drag to spray points. With keys: the arrows move the brush, Space sprays."></canvas>
<aside>
  <output aria-live="polite"></output>
  <button type="button" name="undo">Undo stroke</button>
  <button type="button" name="clear">Clear</button>
  <label>Brush width<input type="range" min="0.03" max="0.45" step="0.03" value="0.12"></label>
  <small>Drag to spray points.<br>Keys: arrows move, Space sprays.</small>
</aside>
</section>
"""
_CSS = """
section { display: flex; flex-wrap: wrap; gap: 14px; }
canvas {
  width: 292px; height: 292px; box-sizing: border-box; cursor: crosshair; touch-action: none;
  border: 1px solid var(--st-border-color); border-radius: 6px;
}
aside { flex: 1 1 116px; display: flex; flex-direction: column; gap: 8px; align-items: stretch; }
aside > * { font: 0.87rem var(--st-font); color: var(--st-text-color); }
button {
  padding: 0.3rem 0.6rem; background: transparent; cursor: pointer;
  border: 1px solid var(--st-border-color); border-radius: 6px;
}
button:hover:enabled { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:disabled { opacity: 0.45; cursor: default; }
label { display: flex; flex-direction: column; gap: 4px; }
input { width: 100%; margin: 0; accent-color: var(--st-primary-color); }
output { min-height: 2.4em; font-variant-numeric: tabular-nums; }
small { margin-top: auto; opacity: 0.75; font-size: 0.8rem; line-height: 1.35; }
@media (max-width: 500px) {
  canvas { width: 100%; height: auto; aspect-ratio: 1; }
  aside { flex-flow: row wrap; align-items: center; }
  output { flex: 1 0 100%; min-height: 1.2em; }
  small { display: none; }
}
:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""

Strokes = tuple[tuple[float, ...], ...]
"""Each stroke as x, y, x, y, ..."""

_mount = component("toylab_drawpad", html=_HTML, css=_CSS, js=Path(__file__).with_suffix(".js").read_text())


def drawpad(strokes: Strokes, key: str, on_change: Callable[[Any], None]) -> None:
    """Draw the pad, which begins with ``strokes``.

    Args:
        strokes: what is on the pad when it is opened; afterwards it keeps its own.
        key: of the component.
        on_change: called after each stroke, once or twice, with what came back: unchecked, see `checked`.
    """

    def take(name: str) -> Callable[[], None]:
        return lambda: on_change(st.session_state[key].get(name))

    data = {"strokes": [list(stroke) for stroke in strokes], "half": HALF, "limit": MAX_POINTS}
    _mount(key=key, data=data, on_strokes_change=take("strokes"), on_drawing_change=take("drawing"))


def checked(raw: Any) -> Strokes:
    """``raw``, which came from a browser, as strokes: every number finite and in the square, at most 5,000 points.

    Raises:
        ValueError: anything else; one line.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise ValueError("the drawing is not a list of strokes")
    if len(raw) > MAX_POINTS:
        raise ValueError(f"the drawing has more than {MAX_POINTS:,} strokes")
    room = 2 * MAX_POINTS
    for stroke in raw:
        if not isinstance(stroke, Sequence) or isinstance(stroke, str | bytes) or len(stroke) % 2:
            raise ValueError("a stroke of the drawing is not a list of x, y, x, y, ...")
        room -= len(stroke)
        if room < 0:
            raise ValueError(f"the drawing has more than {MAX_POINTS:,} points")
        if not all(_in_square(value) for value in stroke):
            raise ValueError("the drawing has a point that does not lie in the square")
    return tuple(tuple(float(value) for value in stroke) for stroke in raw)


def points(strokes: Strokes) -> Float[np.ndarray, "n 2"]:
    """All points of ``strokes``."""
    return np.array([value for stroke in strokes for value in stroke], np.float64).reshape(-1, 2)


def _in_square(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= HALF  # which NaN is not
