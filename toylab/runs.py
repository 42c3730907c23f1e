"""A run folder: written whole or not at all, and checked before it is believed. No jax, no pickle.

config.json         schema version, every setting, status, live changes, package versions, git hash (see `header`)
history.csv         one row per recorded step
samples.npz         generated (n, dim) and reference (m, dim); n = 0 where samples were not finite
checkpoint/         parameters, written and read by others; may be absent
environment.json    machine, versions, date
"""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.atomic import atomic_folder, is_temporary, json_text, locate_folder, target_of_aside
from toylab.header import Header
from toylab.provenance import environment
from toylab.safe_npz import one_line, read_arrays, read_bytes

CONFIG, HISTORY, SAMPLES, ENVIRONMENT, CHECKPOINT = (
    "config.json",
    "history.csv",
    "samples.npz",
    "environment.json",
    "checkpoint",
)
MAX_JSON_BYTES = 4 * 2**20
MAX_HISTORY_BYTES = MAX_SAMPLES_BYTES = 64 * 2**20
__all__ = [
    "Header",
    "RunFolder",
    "RunFolderError",
    "environment",
    "is_run",
    "list_runs",
    "read_run",
    "write_run",
]


class RunFolderError(ValueError):
    """A run folder that cannot be believed; one line that names the file and what is wrong with it."""


@dataclass(frozen=True)
class RunFolder:
    """The checked content of a run folder.

    Args:
        path: of the folder.
        header: settings, status, steps and live changes.
        history: indexed by step (strictly increasing), every column float64; NaN where a value was not taken.
        generated: samples of the model (n, dim); n = 0 where ``header.nonfinite`` counts some that were not finite.
        reference: data points (m, dim).
        environment: machine, versions, date; as ``environment`` collects it.
        checkpoint: the folder of the parameters, or None where there is none.
    """

    path: Path
    header: Header
    history: pd.DataFrame
    generated: Float[np.ndarray, "n dim"]
    reference: Float[np.ndarray, "m dim"]
    environment: dict[str, Any]
    checkpoint: Path | None


def write_run(
    path: str | os.PathLike,
    *,
    header: Header,
    history: pd.DataFrame,
    generated: ArrayLike,
    reference: ArrayLike,
    environment: Mapping[str, Any],
    write_checkpoint: Callable[[Path], None] | None = None,
) -> Path:
    """Write a run folder in one piece; a run that is already there is replaced, and kept if anything fails.

    Args:
        path: the folder; absent, empty or a run.
        header: settings, status, steps and live changes.
        history: numeric columns, indexed by step (whole numbers >= 0, strictly increasing).
        generated: samples (n, dim), finite; none only where the header says that some were not finite.
        reference: data points (m, dim), finite.
        environment: as ``environment()`` collects it; its ``versions`` and ``git`` go into config.json too.
        write_checkpoint: is given the path of a folder that does not exist yet, and makes it.

    Returns:
        The absolute path of the folder.

    Raises:
        FileExistsError: ``path`` is a file, or a folder with something else in it.
        ValueError: content that ``read_run`` would refuse.
        OSError: the disk refuses.
    """
    path = Path(path).resolve()
    _refuse_foreign(path)
    made_with = {"versions": environment.get("versions", {}), "git": environment.get("git")}
    with atomic_folder(path) as new:
        (new / HISTORY).write_text(_history_text(history), encoding="utf-8", newline="\n")
        (new / SAMPLES).write_bytes(_samples_bytes(generated, reference))
        (new / ENVIRONMENT).write_text(_json_or_error(ENVIRONMENT, dict(environment)), encoding="utf-8")
        if write_checkpoint is not None:
            write_checkpoint(new / CHECKPOINT)
            if not (new / CHECKPOINT).is_dir():
                raise ValueError("write_checkpoint made no folder")
        (new / CONFIG).write_text(_json_or_error(CONFIG, header.to_json() | made_with), encoding="utf-8")
        # What is written must be readable: otherwise the old run stays.
        try:
            _read_folder(new)
        except RunFolderError as error:
            raise ValueError(str(error).replace(str(new), str(path))) from None
    return path


def read_run(path: str | os.PathLike) -> RunFolder:
    """Read and check a run folder; one that a crash left half replaced is read from where it was moved aside.

    Raises:
        RunFolderError: not a run folder, or a file in it is missing, too large, damaged or of another kind.
    """
    for _ in range(10):
        before = _whereabouts(path)
        try:
            run = _read_folder(before[0])
        except RunFolderError:
            if _whereabouts(path) == before:
                raise
            continue
        if _whereabouts(path) == before:
            return run
    raise RunFolderError(f"{path}: is being replaced all the time")


def _whereabouts(path: str | os.PathLike) -> tuple[Path, tuple[int, int] | None]:
    """Where a run is and which folder that is, so that files of two runs are never mixed."""
    folder = locate_folder(path)
    try:
        stat = folder.stat()
    except FileNotFoundError:
        return folder, None
    # Both: file systems give the number of a deleted folder to the next one.
    return folder, (stat.st_ino, stat.st_mtime_ns)


def _read_folder(folder: Path) -> RunFolder:
    if not (folder / CONFIG).is_file():
        raise RunFolderError(f"{folder}: not a run folder (it has no {CONFIG})")
    header = _checked(folder, CONFIG, _read_header)
    history = _checked(folder, HISTORY, _read_history)
    samples = _checked(folder, SAMPLES, _read_samples)
    if not len(samples["generated"]) and not header.nonfinite:
        raise RunFolderError(
            f"{folder / SAMPLES}: has no samples, and {CONFIG} counts none that were not finite"
        )
    environment = _checked(folder, ENVIRONMENT, _read_json)
    checkpoint = folder / CHECKPOINT
    return RunFolder(
        path=folder,
        header=header,
        history=history,
        generated=samples["generated"],
        reference=samples["reference"],
        environment=environment,
        checkpoint=checkpoint if checkpoint.is_dir() else None,
    )


def is_run(path: str | os.PathLike) -> bool:
    """Whether ``path`` is a run folder: whether it has a config.json. ``read_run`` looks closer."""
    return (locate_folder(path) / CONFIG).is_file()


def list_runs(root: str | os.PathLike) -> list[Path]:
    """Every run folder at or below ``root``, sorted; folders in the middle of being written are left out.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    return sorted(set(_walk(root)))


def _walk(folder: Path) -> Iterator[Path]:
    if (folder / CONFIG).is_file():
        yield folder
        return
    for entry in folder.iterdir():
        if entry.is_symlink() or not entry.is_dir():
            continue
        target = target_of_aside(entry)
        if target is not None and not target.exists() and is_run(target):
            yield target
        elif not is_temporary(entry.name):
            yield from _walk(entry)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"{path}: is a file, not a run folder")
    if not any(path.iterdir()):
        return
    # The name config.json is common: deleting a folder takes more than that.
    try:
        _checked(path, CONFIG, _read_header)
    except RunFolderError:
        raise FileExistsError(f"{path}: holds something else than a run, choose another folder") from None


def _read_header(path: Path) -> Header:
    return Header.from_json(_read_json(path))


def _checked(folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder / name)
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{folder / name}: {one_line(error)}") from None


def _read_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str):
        raise ValueError(f"holds {constant}, which is not JSON")

    value = json.loads(read_bytes(path, MAX_JSON_BYTES), parse_constant=refuse)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _json_or_error(name: str, value: dict[str, Any]) -> str:
    try:
        return json_text(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from None


def _history_text(history: pd.DataFrame) -> str:
    if wrong := [column for column in history.columns if history[column].dtype.kind not in "iufb"]:
        raise ValueError(f"{HISTORY}: column {wrong[0]!r} is not numeric")
    # float64 first: the shortest text of a float32 is not the shortest text of its value.
    table = history.astype(np.float64)
    table.index = pd.Index(history.index, name="step")
    return table.to_csv(na_rep="nan", lineterminator="\n")


def _read_history(path: Path) -> pd.DataFrame:
    header, *lines = read_bytes(path, MAX_HISTORY_BYTES).decode("utf-8").splitlines() or [""]
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


def _samples_bytes(generated: ArrayLike, reference: ArrayLike) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, generated=np.asarray(generated), reference=np.asarray(reference))
    return buffer.getvalue()


def _read_samples(path: Path) -> dict[str, Float[np.ndarray, "_ dim"]]:
    arrays = read_arrays(path, names=("generated", "reference"), max_bytes=MAX_SAMPLES_BYTES, min_rows=0)
    if not len(arrays["reference"]):
        raise ValueError("array 'reference' has no rows")
    dims = [array.shape[1] for array in arrays.values()]
    if dims[0] != dims[1]:
        raise ValueError(f"generated has dimension {dims[0]}, reference {dims[1]}")
    return arrays
