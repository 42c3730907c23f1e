"""A player of trajectories: two panes, drawn and played in the browser; the data are sent once."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from streamlit.components.v2 import component

from toylab.ui.charts.theme import Palette

SIDE = 400
"""Largest side of a pane in pixels."""
UNITS = 8192
"""Half a frame in the whole numbers that are sent: a twentieth of a pixel; far strays are clipped at four frames."""


def player(
    left: tuple[str, Mapping[str, Float[ndarray, "n states 2"]]],
    right: tuple[str, Mapping[str, Float[ndarray, "n moments 2"]]],
    reference: Float[ndarray, "m 2"],
    frame: tuple[float, float, float],
    palette: Palette,
    key: str,
    alt: str,
) -> None:
    """Paths from t = 1 to t = 0 with a play button, a time slider and a speed; data in grey.

    Args:
        left: title of the model's pane, and its paths by label: the reader chooses one.
        right: the same of the exact flow; a label each.
        reference: data points.
        frame: what both panes show: centre x, centre y, half side.
        palette: colours.
        key: of the component.
        alt: what it shows, for those who do not see it.
    """
    panes = [
        {
            "title": title,
            "colour": colour,
            "choices": [_choice(label, p, frame) for label, p in paths.items()],
        }
        for (title, paths), colour in ((left, palette.chosen), (right, palette.oracle))
    ]
    content = {"panes": panes, "data": _packed(reference, frame)}
    colours = {"data": palette.data, "frame": palette.frame, "faint": palette.faint}
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    _component()(
        key=key,
        data={**content, "colours": colours, "frame": list(frame), "units": UNITS, "alt": alt, "id": digest},
    )


def _choice(label: str, paths: Float[ndarray, "n states 2"], frame: tuple) -> dict[str, Any]:
    return {"label": label, "states": paths.shape[1], "points": _packed(paths, frame)}


def _packed(points: Float[ndarray, "... 2"], frame: tuple[float, float, float]) -> str:
    """Coordinates as 16-bit whole numbers around the frame's centre, upwards as on paper, in base64."""
    x, y, half = frame
    scaled = np.nan_to_num((points - np.array([x, y])) / half * UNITS, nan=32767, posinf=32767, neginf=-32768)
    return base64.b64encode(np.clip(scaled.round(), -32768, 32767).astype("<i2").tobytes()).decode()


@cache
def _component():
    return component("toylab_player", html=HTML, css=CSS, js=JS)


HTML = """
<div class="panes">
  <figure><figcaption></figcaption><canvas role="img"></canvas></figure>
  <figure><figcaption></figcaption><canvas role="img"></canvas></figure>
</div>
<div class="bar">
  <button type="button" class="play">Play</button>
  <label class="time"><span>Time</span><input type="range" min="0" max="100" step="1"><output></output></label>
  <label>Model in <select class="choice"></select></label>
  <label>Speed <select class="speed">
    <option value="0.5">0.5×</option><option value="1" selected>1×</option><option value="2">2×</option>
  </select></label>
</div>
"""

CSS = f"""
:host, .panes, .bar {{ font-family: var(--st-font); color: var(--st-text-color); }}
.panes {{ display: flex; gap: 1.1rem; }}
@media (max-width: 640px) {{ .panes {{ gap: 0.5rem; }} }}
figure {{ margin: 0; flex: 1 1 0; min-width: 0; }}
figcaption {{ font-size: 0.92rem; line-height: 1.6; margin-bottom: 0.25rem; }}
canvas {{ display: block; width: 100%; max-width: {SIDE}px; aspect-ratio: 1; box-sizing: border-box; }}
.bar {{ display: flex; flex-wrap: wrap; gap: 0.4rem 0.9rem; align-items: center; margin-top: 0.4rem; }}
.bar {{ font-size: 0.88rem; }}
.bar label {{ display: flex; align-items: center; gap: 0.4rem; }}
.time {{ flex: 1 1 220px; }}
.time input {{ flex: 1; min-width: 90px; accent-color: var(--st-primary-color); }}
output {{ min-width: 4.2em; font-variant-numeric: tabular-nums; }}
button, select {{
  font: inherit; color: inherit; background: var(--st-secondary-background-color); min-height: 1.9rem;
  border: 1px solid var(--st-border-color); border-radius: 6px; padding: 0.1rem 0.5rem;
}}
.play {{ min-width: 4.4rem; cursor: pointer; }}
:is(button, select, input):focus-visible {{ outline: 2px solid var(--st-primary-color); outline-offset: 2px; }}
"""

JS = """
const SECONDS = 3;
const unpack = (text) => new Int16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

export default function ({ data, parentElement: root }) {
  const find = (name) => root.querySelector(name);
  const [play, slider, out] = [find(".play"), find(".time input"), find("output")];
  const [choice, speed] = [find(".choice"), find(".speed")];
  const canvases = [...root.querySelectorAll("canvas")];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const fresh = root.shown !== data.id;
  root.shown = data.id;
  const ground = unpack(data.data);
  const panes = data.panes.map((pane) => ({
    ...pane, choices: pane.choices.map((c) => ({ ...c, points: unpack(c.points) })),
  }));
  let progress = fresh ? (still ? 1 : 0) : root.progress, timer = 0, before = 0;

  panes.forEach((pane, k) => {
    const caption = root.querySelectorAll("figcaption")[k];
    caption.replaceChildren(Object.assign(document.createElement("span"), { textContent: "● " }), pane.title);
    caption.firstChild.style.color = pane.colour;
    canvases[k].setAttribute("aria-label", `${pane.title}. ${data.alt}`);
  });
  const labels = panes[0].choices.map((c) => c.label);
  if (labels.join() !== [...choice.options].map((o) => o.text).join()) {
    choice.replaceChildren(...labels.map((label, i) => new Option(label, i)));
    choice.selectedIndex = labels.length - 1;
  }

  const draw = () => panes.forEach((pane, k) => {
    const canvas = canvases[k], side = canvas.clientWidth, dense = window.devicePixelRatio || 1;
    if (!side) return;
    canvas.width = canvas.height = Math.round(side * dense);
    const ink = canvas.getContext("2d"), scale = side / 2 / data.units;
    const x = (v) => side / 2 + v * scale, y = (v) => side / 2 - v * scale;
    ink.scale(dense, dense);
    const dots = (points, colour, size, alpha) => {
      ink.fillStyle = colour;
      ink.globalAlpha = alpha;
      ink.beginPath();
      for (let i = 0; i < points.length; i += 2) {
        ink.moveTo(x(points[i]) + size, y(points[i + 1]));
        ink.arc(x(points[i]), y(points[i + 1]), size, 0, 7);
      }
      ink.fill();
    };
    dots(ground, data.colours.data, 1.6, 0.4);
    const { points, states } = pane.choices[Math.min(choice.selectedIndex, pane.choices.length - 1)];
    const place = progress * (states - 1), last = Math.min(Math.floor(place), states - 2), rest = place - last;
    const ends = [];
    ink.strokeStyle = pane.colour;
    ink.globalAlpha = 0.35;
    ink.beginPath();
    for (let p = 0; p < points.length; p += 2 * states) {
      for (let i = 0; i <= last; i++) ink[i ? "lineTo" : "moveTo"](x(points[p + 2 * i]), y(points[p + 2 * i + 1]));
      const at = (axis) => points[p + 2 * last + axis] * (1 - rest) + points[p + 2 * last + 2 + axis] * rest;
      ends.push(at(0), at(1));
      ink.lineTo(x(at(0)), y(at(1)));
    }
    ink.stroke();
    dots(ends, pane.colour, 2.4, 0.9);
    ink.globalAlpha = 1;
    ink.strokeStyle = data.colours.frame;
    ink.strokeRect(0.5, 0.5, side - 1, side - 1);
  });
  const show = (value) => {
    root.progress = progress = value;
    slider.value = 100 * value;
    out.textContent = `t = ${(1 - value).toFixed(2)}`;
    slider.setAttribute("aria-valuetext", `${out.textContent}, ${value < 1 ? "from noise to data" : "at the data"}`);
    draw();
  };
  const pause = () => { cancelAnimationFrame(timer); timer = 0; play.textContent = "Play"; };
  const tick = (now) => {
    show(Math.min(1, progress + ((now - before) / 1000 / SECONDS) * speed.value));
    before = now;
    if (progress < 1) timer = requestAnimationFrame(tick); else pause();
  };
  const start = () => {
    if (progress >= 1) progress = 0;
    play.textContent = "Pause";
    before = performance.now();
    timer = requestAnimationFrame(tick);
  };
  play.onclick = () => (timer ? pause() : start());
  slider.oninput = () => { pause(); show(slider.value / 100); };
  choice.onchange = draw;
  const watcher = new ResizeObserver(draw);
  canvases.forEach((canvas) => watcher.observe(canvas));
  pause();
  show(progress);
  if (!still && progress < 1 && (fresh || root.playing)) start();
  return () => { root.playing = timer !== 0; pause(); watcher.disconnect(); };
}
"""
