"""history.csv and samples.npz of a run folder, as text and bytes and back, checked. No jax."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.storage.untrusted import read_arrays, read_bytes

MAX_HISTORY_BYTES = MAX_SAMPLES_BYTES = 64 * 2**20
# Characters of the line of column names: the csv module refuses a field of 131,072 with an error of its own.
MAX_HEADER = 2**14


def history_text(history: pd.DataFrame) -> str:
    """A history as csv; raises ValueError where a column is not numeric."""
    if wrong := [column for column in history.columns if history[column].dtype.kind not in "iufb"]:
        raise ValueError(f"history.csv: column {wrong[0]!r} is not numeric")
    # float64 first: the shortest text of a float32 is not the shortest text of its value.
    table = history.astype(np.float64)
    table.index = pd.Index(history.index, name="step")
    return table.to_csv(na_rep="nan", lineterminator="\n")


def read_history(path: Path) -> pd.DataFrame:
    """The inverse of `history_text`, for a file that nobody has checked; raises ValueError or OSError."""
    header, *lines = read_bytes(path, MAX_HISTORY_BYTES).decode("utf-8").splitlines() or [""]
    if len(header) > MAX_HEADER:
        raise ValueError(f"has a header of {len(header)} characters, at most {MAX_HEADER} are read")
    columns = next(csv.reader([header]), [])
    if not columns or columns[0] != "step" or len(set(columns)) != len(columns):
        raise ValueError("needs a header of distinct names that starts with step")
    values = np.empty((0, len(columns)))
    if lines:
        # Stricter than pandas, which turns a stray cell into text and a short line into NaN.
        values = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2, dtype=np.float64)
    if values.shape[1] != len(columns):
        raise ValueError(f"has {values.shape[1]} columns of numbers under {len(columns)} names")
    steps = values[:, 0]
    if not np.all((steps >= 0) & (steps < 2**53) & (steps == np.floor(steps))):
        raise ValueError("has a step that is not a whole number >= 0")
    if np.any(np.diff(steps) <= 0):
        raise ValueError("has steps that do not increase")
    return pd.DataFrame(values[:, 1:], pd.Index(steps.astype(np.int64), name="step"), columns[1:])


def samples_bytes(generated: ArrayLike, reference: ArrayLike) -> bytes:
    """The two arrays as an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, generated=np.asarray(generated), reference=np.asarray(reference))
    return buffer.getvalue()


def read_samples(path: Path) -> dict[str, Float[np.ndarray, "_ dim"]]:
    """The arrays ``generated`` and ``reference`` of an npz file, checked; raises ValueError or OSError."""
    arrays = read_arrays(path, names=("generated", "reference"), max_bytes=MAX_SAMPLES_BYTES, min_rows=0)
    if not len(arrays["reference"]):
        raise ValueError("array 'reference' has no rows")
    dims = [array.shape[1] for array in arrays.values()]
    if dims[0] != dims[1]:
        raise ValueError(f"generated has dimension {dims[0]}, reference {dims[1]}")
    return arrays
