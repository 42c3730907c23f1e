"""What all views of a run share: what they hand to the stage, their frame, how a number is written."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from toylab.config import RunConfig, with_changes
from toylab.ui.text.words import short
from toylab.ui.widgets import thumbnails

if TYPE_CHECKING:
    from toylab.training import Run

NOISE_REACH = 3.0
"""A square from -3 to 3 holds 99 % of the noise."""


class Shown(NamedTuple):
    """What stands in for the live squares and the sentence.

    Attributes:
        sentence: in place of the usual one.
        draw: draws the view; None where the live squares stay.
        pending: whether it is being computed.
    """

    sentence: str
    draw: Callable[[], None] | None = None
    pending: bool = False


def wide_frame(points: np.ndarray) -> tuple[float, float, float]:
    """The square that holds both the data and the noise: centre x, centre y, half side."""
    x, y, half = thumbnails.square_around(points)
    low = np.minimum([x - half, y - half], -NOISE_REACH)
    high = np.maximum([x + half, y + half], NOISE_REACH)
    centre = (low + high) / 2
    return float(centre[0]), float(centre[1]), round(float(np.max(high - low)) / 2, 2)


def plus_minus(value: float, stderr: float) -> str:
    """A value and its standard error, both to the digit at which that error begins: 0.13 ± 0.01."""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(stderr) and stderr > 0):
        return short(value)
    digits = max(0, -math.floor(math.log10(stderr)))
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def settings_of(run: "Run") -> RunConfig:
    """The settings of a run as they stand, live changes included."""
    return with_changes(run.config, run.changes)
