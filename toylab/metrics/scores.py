"""scores.json of a run folder: the final evaluation of a run, checked before it is believed. No jax."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toylab.metrics.floor import Score
from toylab.storage.atomic import atomic_write_json
from toylab.storage.run_folder import SCORES
from toylab.storage.untrusted import one_line, parse_json_object, read_bytes

HEADLINE = "sliced_w1"
"""The metric by which runs are compared."""
MAX_BYTES = 2**16


def write_scores(folder: Path, scores: Mapping[str, Score]) -> None:
    """Write metric -> score into a run folder; null where samples were not finite."""
    atomic_write_json(folder / SCORES, {name: score.to_json() for name, score in scores.items()})


def read_score(folder: Path, metric: str = HEADLINE) -> Score | None:
    """The score of ``metric`` in a run folder; None where nobody has measured it there.

    Its value is NaN where samples were not finite.

    Raises:
        ValueError: a damaged file; one line that names it.
    """
    path = folder / SCORES
    if not path.is_file():
        return None
    try:
        scores = parse_json_object(read_bytes(path, MAX_BYTES))
        return _parse(scores[metric]) if metric in scores else None
    # OverflowError: JSON knows 1e999, which is infinite.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: {metric}: {type(error).__name__}: {one_line(error)}") from None


def _parse(score: Any) -> Score:
    value, stderr = (math.nan if score[name] is None else float(score[name]) for name in ("value", "stderr"))
    n, floor = int(score["n"]), float(score["floor"])
    # Files from before there were these two do not say.
    nfe, num_keys = int(score.get("nfe", 1)), int(score.get("num_keys", 0))
    # null says that samples were not finite; a NaN in the file says that nobody checked it.
    unchecked = score["value"] is not None and not math.isfinite(value)
    if unchecked or not (math.isfinite(floor) and n > 0 and nfe > 0):
        raise ValueError("must be finite with n > 0")
    return Score(value, stderr, n, floor, num_keys, nfe)
