"""The time that a named grid took over all of its calls: kept in study.json, and read back from there."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from toylab.experiments.sweep.files import JSON
from toylab.experiments.sweep.forecast import Forecast
from toylab.experiments.sweep.grids import NamedGrid
from toylab.storage import run_folder
from toylab.storage.untrusted import read_json

MAX_BYTES = 64 * 2**20
MAX_NUMBER = 1e12
MAX_TEXT = 200


class Piece(NamedTuple):
    """One call that trained or scored something.

    Args:
        date: of its end, ISO 8601.
        device: that it ran on.
        runs: finished by it.
        forecast_seconds: of the measurement before, compilation included.
        training_seconds: loading and saving included.
        scoring_seconds: of the runs that it finished.
    """

    date: str
    device: str
    runs: int
    forecast_seconds: float
    training_seconds: float
    scoring_seconds: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.forecast_seconds + self.training_seconds + self.scoring_seconds


class Timing(NamedTuple):
    """The forecast of the first call, which covers the whole grid, and the time of every call."""

    forecast: Forecast | None = None
    pieces: tuple[Piece, ...] = ()

    def with_piece(self, expected: Forecast, piece: Piece) -> "Timing":
        """One call later; ``expected`` is the forecast of that call."""
        return Timing(self.forecast or expected, (*self.pieces, piece))

    def to_json(self) -> dict[str, Any]:
        """As study.json holds it, with the sums over pieces."""
        return {
            "forecast": None if self.forecast is None else self.forecast._asdict(),
            "seconds": sum(piece.seconds for piece in self.pieces),
            "training_seconds": sum(piece.training_seconds for piece in self.pieces),
            "scoring_seconds": sum(piece.scoring_seconds for piece in self.pieces),
            "pieces": [piece._asdict() for piece in self.pieces],
        }


def read_timing(folder: Path, grid: NamedGrid, out: Path) -> Timing:
    """The timing of the study.json in ``folder``, for the next call to add to.

    Empty where there is none, where it is damaged or of another grid, and where ``out`` holds no run of the grid: then
    it starts anew, whatever was measured before.
    """
    if not any(run_folder.is_run(out / cell.name) for cell in grid.cells):
        return Timing()
    try:
        content = read_json(folder / JSON, MAX_BYTES)
        return _parsed(content["timing"]) if _is_of(grid, content) else Timing()
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Timing()


def _is_of(grid: NamedGrid, content: Any) -> bool:
    names = {row["name"] for row in content["runs"]} | set(content["missing"])
    scoring = json.loads(json.dumps(grid.scoring._asdict()))  # lists for tuples
    return (
        content["study"] == grid.name
        and content["scoring"] == scoring
        and names == {cell.name for cell in grid.cells}
    )


def _parsed(timing: Any) -> Timing:
    pieces = tuple(_piece(**piece) for piece in timing["pieces"])
    return Timing(None if timing["forecast"] is None else _forecast(**timing["forecast"]), pieces)


def _piece(*, date: Any, device: Any, runs: Any, **seconds: Any) -> Piece:
    return Piece(
        _text(date),
        _text(device),
        _count(runs),
        **{name: _number(value) for name, value in seconds.items()},
    )


def _forecast(*, runs: Any, programs: Any, lanes: Any, **speeds: Any) -> Forecast:
    known = {name: None if value is None else _number(value) for name, value in speeds.items()}
    return Forecast(_count(runs), _count(programs), _count(lanes), **known)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError(f"not a short text: {value!r:.50}")
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"not a count: {value!r:.50}")
    return int(_number(value))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_NUMBER:
        raise ValueError(f"not a number from 0 to {MAX_NUMBER:g}: {value!r:.50}")
    return float(value)
