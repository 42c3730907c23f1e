"""A reader's own data: drawn or uploaded points, and a mixture of a few numbers, as options of a dataset.

Points live in the tab and nowhere else; the numbers of a mixture may come from the address, so each is checked.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from toylab.data.points import bandwidth
from toylab.storage.points_file import MAX_POINTS as MAX_IN_FILE
from toylab.storage.points_file import MIN_POINTS, parse_points
from toylab.ui.components import drawpad

KINDS = ("draw", "upload", "mixture")
"""Entries of the dataset picker after the built-in sets."""
MAX_POINTS = drawpad.MAX_POINTS
"""More points of a file are thinned to so many."""
SPREAD = 1.5
"""Scale of an uploaded set, root mean square deviation per coordinate: the built-in ones have 0.85 to 2.8, 1.46 in the
geometric mean."""
MIN_BANDWIDTH = 0.02
"""Smallest kernel: points that coincide would be spikes, which no net learns and no solver passes."""

WEIGHTS = ("equal", "one heavy", "ramp", "my own")
HEAVY = 10
MIXTURE: dict[str, Any] = {
    "mix_modes": 5,
    "mix_radius": 3.0,
    "mix_spread": 0.2,
    "mix_weights": "equal",
    "mix_own": "1, 2, 3, 4, 5",
}
"""Numbers of the mixture and where they start; they live in the address."""
MODES, RADIUS, SPREADS = (1, 12), (0.0, 6.0), (0.05, 1.0)


@dataclass(frozen=True, eq=False)
class OwnPoints:
    """Points of a reader, 16 to 5,000, and one line about where they come from."""

    points: Float[np.ndarray, "n 2"]
    note: str
    strokes: drawpad.Strokes = ()

    @cached_property
    def options(self) -> dict[str, Any]:
        """Options of the dataset ``points``: four decimals, and the bandwidth that the set has without an option."""
        try:
            std = max(bandwidth(self.points), MIN_BANDWIDTH)
        except ValueError:  # most points coincide
            std = MIN_BANDWIDTH
        return {"array": self.points.round(4).tolist(), "std": round(std, 4)}


def from_strokes(raw: Any) -> OwnPoints:
    """What the pad sent, as points where they were drawn; fewer than 16 are kept, but cannot be trained on.

    Raises:
        ValueError: no strokes; one line.
    """
    strokes = drawpad.checked(raw)
    points = drawpad.points(strokes)
    return OwnPoints(points, f"{len(points):,} points", strokes)


def from_file(data: bytes, filename: str) -> OwnPoints:
    """Points of an uploaded file, centred and scaled to a root mean square deviation of 1.5 per coordinate.

    Raises:
        ValueError: a file that `toylab.storage.points_file` refuses, or whose points are all the same; one line.
    """
    name = re.sub(r"[^\w.-]+", "_", Path(filename).name)[-60:]
    points = parse_points(data, name)
    num_read = len(points)
    if num_read > MAX_POINTS:
        points = points[np.random.default_rng(0).choice(num_read, MAX_POINTS, replace=False)]
    largest = max(float(np.abs(points).max()), 1e-300)
    points = points / largest  # so that nothing overflows below
    points = points - points.mean(axis=0)
    spread = math.sqrt(float(np.mean(points**2)))
    if spread < 1e-9:
        raise ValueError(f"{name}: its points are all the same")
    thinned = f", {MAX_POINTS:,} of them kept at random" if num_read > MAX_POINTS else ""
    return OwnPoints(points * (SPREAD / spread), f"{name}: {num_read:,} points{thinned}")


def from_options(options: Mapping[str, Any], kind: str) -> OwnPoints:
    """The points of a run again, for a tab that was loaded anew: they come from its own job."""
    points = np.asarray(options["array"], np.float64)
    within = kind == "draw" and float(np.abs(points).max()) <= drawpad.HALF
    strokes = (tuple(points.ravel().tolist()),) if within else ()
    return OwnPoints(points, f"{len(points):,} points", strokes)


def mixture_options(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Options of ``gaussian_mixture``: round modes evenly on a circle, whatever ``raw`` holds.

    Numbers are clamped; weights of one's own that are none are equal (and `problem` says so).
    """
    modes = int(_clamped(raw, "mix_modes", MODES))
    radius = _clamped(raw, "mix_radius", RADIUS)
    angles = 2 * np.pi * np.arange(modes) / modes
    means = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    weights = {
        "one heavy": [HEAVY, *[1] * (modes - 1)],
        "ramp": list(range(1, modes + 1)),
        "my own": _own_weights(raw, modes),
    }.get(_text(raw, "mix_weights")) or [1] * modes
    return {
        "means": means.round(4).tolist(),
        "stds": _clamped(raw, "mix_spread", SPREADS),
        "weights": [float(weight) for weight in weights],
    }


def dataset_of(kind: str, raw: Mapping[str, Any], own: OwnPoints | None) -> dict[str, Any] | None:
    """The settings ``dataset`` and ``dataset_options`` of own data; None where there is nothing to train on yet."""
    if kind == "mixture":
        return {"dataset": "gaussian_mixture", "dataset_options": mixture_options(raw)}
    if own is None or len(own.points) < MIN_POINTS:
        return None
    return {"dataset": "points", "dataset_options": own.options}


def problem(kind: str, raw: Mapping[str, Any], own: OwnPoints | None) -> str:
    """Why own data cannot be trained on as they are, in one line; nothing where they can, or for a built-in set."""
    num_points = 0 if own is None else len(own.points)
    if kind == "draw" and num_points < MIN_POINTS:
        return f"Draw at least {MIN_POINTS} points{f' ({num_points} so far)' if num_points else ''}."
    if kind == "upload" and num_points < MIN_POINTS:
        return f"Upload a csv, npy or npz file with {MIN_POINTS} to {MAX_IN_FILE:,} points in the plane."
    if kind == "mixture" and _text(raw, "mix_weights") == "my own":
        modes = int(_clamped(raw, "mix_modes", MODES))
        if _own_weights(raw, modes) is None:
            return f"Weights must be {modes} positive number{'s' if modes > 1 else ''}, parted by commas."
    return ""


def _own_weights(raw: Mapping[str, Any], modes: int) -> list[float] | None:
    try:
        weights = [float(word) for word in _text(raw, "mix_own")[:400].split(",")]
    except ValueError:
        return None
    good = len(weights) == modes and all(1e-6 <= weight <= 1e6 for weight in weights)
    return weights if good else None


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else MIXTURE[name]


def _clamped(raw: Mapping[str, Any], name: str, bounds: tuple[float, float]) -> float:
    try:
        value = float(raw.get(name, MIXTURE[name]))
    except (TypeError, ValueError, OverflowError):
        value = MIXTURE[name]
    if not math.isfinite(value):
        value = MIXTURE[name]
    return round(min(max(value, bounds[0]), bounds[1]), 4)
