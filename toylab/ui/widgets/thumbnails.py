"""Small pictures of the datasets, and the style that makes the dataset picker of them."""

import base64
import io
from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image

from toylab.ui import scene
from toylab.ui.own_data import KINDS
from toylab.ui.settings import dataset_names

PIXELS = 112
"""Side of a thumbnail: twice what is shown, for dense screens."""
INK = (96, 125, 150)
"""A colour that reads on white and on black."""


@cache
def picture(name: str) -> str:
    """A dataset, or a kind of own data, as a data URL: ink where points are, transparent elsewhere."""
    shown = symbol(name) if name in KINDS else scene.packaged_points(name)
    x, y, half = scene.square_around(shown)
    cells = ((shown - [x, y]) / half * 0.5 + 0.5) * PIXELS
    alpha = np.zeros((PIXELS, PIXELS))
    for dx in range(-1, 2):
        for dy in range(-1, 2):
            column, row = np.clip(cells.astype(int) + np.array([dx, dy]), 0, PIXELS - 1).T
            np.add.at(alpha, (PIXELS - 1 - row, column), 0.45 if dx == dy == 0 else 0.22)
    image = np.empty((PIXELS, PIXELS, 4), np.uint8)
    image[..., :3], image[..., 3] = INK, np.minimum(alpha, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(image).quantize(32).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def symbol(kind: str) -> Float[np.ndarray, "n 2"]:
    """A kind of own data as points: a stroke of a brush, an arrow out of a tray, three unequal blobs."""
    rng = np.random.default_rng(5)
    if kind == "draw":
        s = np.linspace(-1, 1, 500)
        line = np.stack([s, 0.55 * np.sin(3.6 * s)], axis=-1)
        return line + 0.05 * rng.standard_normal(line.shape)
    if kind == "mixture":
        blobs = [((-0.55, -0.4), 0.2, 320), ((0.6, -0.3), 0.13, 150), ((0.05, 0.65), 0.09, 70)]
        return np.concatenate([centre + std * rng.standard_normal((n, 2)) for centre, std, n in blobs])
    corners = [
        [(0, -0.35), (0, 0.9)], [(-0.42, 0.45), (0, 0.9)], [(0.42, 0.45), (0, 0.9)],
        [(-0.8, -0.3), (-0.8, -0.8)], [(-0.8, -0.8), (0.8, -0.8)], [(0.8, -0.8), (0.8, -0.3)],
    ]  # fmt: skip
    share = np.linspace(0, 1, 110)[:, None]
    lines = [(1 - share) * np.array(start) + share * np.array(end) for start, end in corners]
    return np.concatenate(lines) + 0.03 * rng.standard_normal((660, 2))


@cache
def style_sheet() -> str:
    """Turns the radio group into a grid of pictures; to keys and screen readers it stays one."""
    rules = [
        f'.st-key-picker [role="radiogroup"] > div:nth-of-type({index}) > label '
        f'{{ background-image: url("{picture(name)}"); }}'
        for index, name in enumerate((*dataset_names(), *KINDS), 1)
    ]
    own = ", ".join(_CELL.format(index=len(dataset_names()) + number) for number in range(1, len(KINDS) + 1))
    return _PICKER + "\n".join(rules) + _OWN.replace("OWN", own)


_PICKER = """
.st-key-picker .element-container, .st-key-picker .stRadio { width: 100%; }
.st-key-picker [data-testid="stWidgetLabel"] { display: none; }
.st-key-picker [role="radiogroup"] {
  display: grid; grid-template-columns: repeat(12, 1fr); gap: 6px; width: 100%;
}
.st-key-picker [role="radiogroup"] > div { width: 100%; margin: 0; grid-column: span 3; }
.st-key-picker label {
  position: relative; /* the input hides in it: outside, its focus would scroll the page of a phone sideways */
  width: 100%; height: 86px; margin: 0; padding: 62px 1px 0; box-sizing: border-box; cursor: pointer;
  display: flex; justify-content: center; align-items: flex-start;
  background-size: 56px 56px; background-repeat: no-repeat; background-position: center 5px;
  border: 1px solid var(--edge); border-radius: 6px;
}
.st-key-picker label:hover { border-color: var(--chosen); }
.st-key-picker label[data-selected] {
  border-color: var(--chosen); box-shadow: inset 0 0 0 1px var(--chosen);
}
.st-key-picker label:has(input:focus-visible) { outline: 2px solid var(--chosen); outline-offset: 2px; }
/* The ring of the radio button: the frame says the same. */
.st-key-picker label > div { margin: 0; padding: 0; justify-content: center; }
.st-key-picker label > div > div:first-child { display: none; }
.st-key-picker p { font-size: 0.68rem; line-height: 1.1; text-align: center; white-space: nowrap; }
"""

_CELL = '.st-key-picker [role="radiogroup"] > div:nth-of-type({index})'
# Own data: lower cells in a row of their own, the picture beside its name.
_OWN = """
:is(OWN) { grid-column: span 4; }
:is(OWN) > label {
  height: 36px; padding: 0 0 0 36px; align-items: center; justify-content: flex-start;
  background-size: 26px 26px; background-position: 5px center;
}
[data-testid="stPopoverBody"]:has(.st-key-own_editor) { padding: 14px; }
.st-key-own_editor { width: 340px; max-width: 100%; gap: 0.5rem; }
.st-key-own_editor:has([data-testid^="stBidiComponent"]) { width: 424px; }
@media (max-width: 640px) {
  .st-key-picker [role="radiogroup"] { grid-template-columns: repeat(20, 82px); overflow-x: auto; padding: 3px; }
  .st-key-picker [role="radiogroup"] > div { grid-column: auto !important; }
  :is(OWN) > label {
    height: 86px; padding: 62px 1px 0; align-items: flex-start; justify-content: center;
    background-size: 56px 56px; background-position: center 5px;
  }
}
"""
