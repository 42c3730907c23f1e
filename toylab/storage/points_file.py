"""Reads a user's points from an untrusted csv, npy or npz file."""

import csv
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from toylab.storage.untrusted import MAX_COORDINATE, one_line, read_array, read_arrays, read_bytes

MIN_POINTS, MAX_POINTS = 16, 20_000
MAX_BYTES = 4 * 2**20


def read_points(path: str | os.PathLike) -> Float[np.ndarray, "n 2"]:
    """The points (n, 2) of a file, 16 <= n <= 20,000, as float64; see ``parse_points``.

    Raises:
        ValueError: no such file, or as ``parse_points``; one line that names the file.
    """
    path = Path(path)
    try:
        data = read_bytes(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {one_line(error)}") from None
    return parse_points(data, str(path))


def parse_points(data: bytes, filename: str) -> Float[np.ndarray, "n 2"]:
    """The points (n, 2) in the content of a file, 16 <= n <= 20,000, as float64.

    The ending of ``filename`` selects the format: csv (two columns of numbers, with or without a header line), npy, or
    npz with a single array or one called ``points``. Never unpickles.

    Raises:
        ValueError: another ending, text, NaN, a wrong number of columns or points, or a file that is too large or
            damaged; one line that names the file and the problem.
    """
    name = Path(filename).name
    ending = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    readers = {"csv": _parse_csv, "npy": _parse_npy, "npz": _parse_npz}
    try:
        if ending not in readers:
            raise ValueError(f"unknown file type {ending!r}; choices: {', '.join(readers)}")
        if len(data) > MAX_BYTES:
            raise ValueError(f"is larger than {MAX_BYTES} bytes")
        return _checked(readers[ending](data))
    except ValueError as error:
        raise ValueError(f"{filename}: {one_line(error)}") from None


def _checked(points: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n 2"]:
    if points.shape[1] != 2:
        raise ValueError(f"has {_counted(points.shape[1], 'column')}, expected 2")
    if not MIN_POINTS <= len(points) <= MAX_POINTS:
        raise ValueError(f"has {_counted(len(points), 'point')}, expected {MIN_POINTS} to {MAX_POINTS}")
    if not np.all(np.isfinite(points)):
        row = int(np.argmin(np.isfinite(points).all(axis=1)))
        raise ValueError(f"point {row + 1} is NaN or infinite")
    if (largest := float(np.abs(points).max())) > MAX_COORDINATE:
        raise ValueError(f"has a coordinate of size {largest:.3g}, at most {MAX_COORDINATE:g} is allowed")
    return points.astype(np.float64)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _parse_csv(data: bytes) -> Float[np.ndarray, "n dim"]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    rows: list[list[float]] = []
    try:
        for number, row in enumerate(csv.reader(text.splitlines()), start=1):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != 2:
                hint = "; is the separator a semicolon?" if len(row) == 1 and ";" in row[0] else ""
                raise ValueError(
                    f"line {number} has {_counted(len(row), 'column')}, expected 2 separated by a comma{hint}"
                )
            if number == 1 and not any(_is_number(cell) for cell in row):
                continue  # the header
            if bad := [cell for cell in row if not _is_number(cell)]:
                raise ValueError(f"line {number} has {bad[0][:20]!r}, not a number")
            if len(rows) == MAX_POINTS:
                raise ValueError(f"has more than {MAX_POINTS} points")
            rows.append([float(cell) for cell in row])
    except csv.Error as error:
        raise ValueError(f"is not a csv file: {error}") from None
    return np.array(rows, np.float64).reshape(-1, 2)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse_npy(data: bytes) -> Float[np.ndarray, "n dim"]:
    return read_array(data, max_rows=MAX_POINTS, kinds="iuf")


def _parse_npz(data: bytes) -> Float[np.ndarray, "n dim"]:
    arrays = read_arrays(data, max_bytes=MAX_BYTES, max_rows=MAX_POINTS, kinds="iuf")
    if len(arrays) != 1 and "points" not in arrays:
        raise ValueError(f"has arrays {', '.join(arrays) or 'none'}; one of them must be called 'points'")
    return arrays["points"] if "points" in arrays else next(iter(arrays.values()))
