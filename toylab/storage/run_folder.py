"""Run folders: the files of one training run, written atomically and checked when read. No jax, no pickle.

config.json         schema version, every setting, status, live changes, package versions, git hash (see `Header`),
                    SHA-256 of the checkpoint
history.csv         one row per logged step
samples.npz         generated (n, dim) and reference (m, dim); n = 0 where samples were not finite
checkpoint/         parameters, in the format of `toylab.storage.checkpoint`; may be absent
environment.json    machine, versions, date
scores.json         scores measured later by `toylab.experiments.sweep`; deleted when the run is replaced
"""

import csv
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.config import Change
from toylab.storage.atomic import (
    atomic_folder,
    carry_over,
    check_writable,
    is_temporary,
    json_text,
    locate_folder,
    target_of_aside,
)
from toylab.storage.untrusted import MAX_JSON_BYTES, one_line, parse_json_object, read_arrays, read_bytes

CONFIG, HISTORY, SAMPLES, ENVIRONMENT, CHECKPOINT, SCORES = (
    "config.json",
    "history.csv",
    "samples.npz",
    "environment.json",
    "checkpoint",
    "scores.json",
)
OWN = (CONFIG, HISTORY, SAMPLES, ENVIRONMENT, CHECKPOINT, SCORES)
DIGEST = "checkpoint_sha256"
"""Key of config.json."""
SCHEMA = 2
"""Version of config.json. Version 1 nested the settings twice and is still read; others are refused."""
STATUSES = ("done", "diverged", "unfinished")
MAX_HISTORY_BYTES = MAX_SAMPLES_BYTES = 64 * 2**20
# Characters of the line of column names. A field of 131,072 would raise csv.Error, which is not a ValueError.
MAX_HEADER = 2**14
MAX_READS = 10
"""Attempts to read a folder that another process replaces at the same time."""


class RunFolderError(ValueError):
    """Raised when a run folder is missing, corrupt or inconsistent; one line that names the file and the fault."""


# The header: what config.json holds besides versions, commit and digest.


@dataclass(frozen=True)
class Header:
    """Settings of a run, its progress, and the live changes: config.json without versions and commit.

    {"schema", "settings", "status", "step", "changes", "samples": {"nfe", "nonfinite"}, "versions", "git"}

    Args:
        settings: every setting at the start of the run.
        status: done, diverged or unfinished.
        step: steps trained.
        changes: live changes, oldest first.
        nfe: network evaluations per saved sample.
        nonfinite: number of samples that were not finite and therefore not saved.
    """

    settings: dict[str, Any]
    status: str = "done"
    step: int = 0
    changes: tuple[Change, ...] = field(default=())
    nfe: int = 1
    nonfinite: int = 0

    def to_json(self) -> dict[str, Any]:
        """The header as JSON types."""
        return {
            "schema": SCHEMA,
            "settings": dict(self.settings),
            "status": self.status,
            "step": self.step,
            "changes": [list(change) for change in self.changes],
            "samples": {"nfe": self.nfe, "nonfinite": self.nonfinite},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Header":
        """The inverse of `to_json` for unchecked content; reads version 1 too.

        Raises:
            ValueError: an unknown version, or a field that is missing or of the wrong type.
        """
        if value.get("schema") == 1:
            value = _from_version_1(value)
        elif value.get("schema") != SCHEMA:
            raise ValueError(f"schema {value.get('schema')!r} is unknown; known: 1, {SCHEMA}")
        settings, status, samples = value.get("settings"), value.get("status"), value.get("samples")
        if not isinstance(settings, dict):
            raise ValueError("has no settings")
        if status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
        if not isinstance(samples, dict):
            raise ValueError("has no samples")
        return cls(
            settings=settings,
            status=status,
            step=_count("step", value.get("step")),
            changes=_changes(value.get("changes")),
            nfe=_count("nfe", samples.get("nfe")),
            nonfinite=_count("nonfinite", samples.get("nonfinite")),
        )


def _from_version_1(value: Mapping[str, Any]) -> dict[str, Any]:
    """A header of version 1 in the layout of version 2; fields that version 1 lacks get their defaults."""
    inner = value.get("settings")
    if not isinstance(inner, dict):
        return {}
    if not isinstance(inner.get("settings"), dict):
        inner = {"settings": inner}
    return {
        "settings": inner["settings"],
        "status": inner.get("status", "done"),
        "step": inner.get("step", 0),
        "changes": [],
        "samples": {"nfe": 1, "nonfinite": 0},
    }


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")
    return value


def _changes(value: Any) -> tuple[Change, ...]:
    if not isinstance(value, list):
        raise ValueError("has no changes")
    changes = []
    for item in value:
        if not (isinstance(item, list) and len(item) == 3 and isinstance(item[1], str)):
            raise ValueError(f"a change must be [step, name, value], got {str(item)[:60]}")
        step, name, number = item
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ValueError(f"the changed value of {name!r} must be a number, got {str(number)[:60]}")
        changes.append(Change(_count("the step of a change", step), name, float(number)))
    return tuple(changes)


# History and samples.


def history_text(history: pd.DataFrame) -> str:
    """A history as csv; raises ValueError where a column is not numeric."""
    if wrong := [column for column in history.columns if history[column].dtype.kind not in "iufb"]:
        raise ValueError(f"{HISTORY}: column {wrong[0]!r} is not numeric")
    # float64 first: the shortest text of a float32 is not the shortest text of its value.
    table = history.astype(np.float64)
    table.index = pd.Index(history.index, name="step")
    return table.to_csv(na_rep="nan", lineterminator="\n")


def read_history(path: Path) -> pd.DataFrame:
    """The inverse of `history_text` for an unchecked file; raises ValueError or OSError."""
    header, *lines = read_bytes(path, MAX_HISTORY_BYTES).decode("utf-8").splitlines() or [""]
    if len(header) > MAX_HEADER:
        raise ValueError(f"has a header of {len(header)} characters, at most {MAX_HEADER} are read")
    columns = next(csv.reader([header]), [])
    if not columns or columns[0] != "step" or len(set(columns)) != len(columns):
        raise ValueError("needs a header line of distinct names that starts with step")
    values = np.empty((0, len(columns)))
    if lines:
        # Stricter than pandas, which reads a stray cell as text and a short line as NaN.
        values = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2, dtype=np.float64)
    if values.shape[1] != len(columns):
        raise ValueError(f"has {values.shape[1]} columns of numbers under {len(columns)} names")
    steps = values[:, 0]
    # Above 2**53 float64 no longer holds every whole number.
    if not np.all((steps >= 0) & (steps < 2**53) & (steps == np.floor(steps))):
        raise ValueError("has a step that is not a whole number >= 0")
    if np.any(np.diff(steps) <= 0):
        raise ValueError("has steps that do not increase")
    return pd.DataFrame(values[:, 1:], pd.Index(steps.astype(np.int64), name="step"), columns[1:])


def samples_bytes(generated: ArrayLike, reference: ArrayLike) -> bytes:
    """The two arrays as the content of an npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, generated=np.asarray(generated), reference=np.asarray(reference))
    return buffer.getvalue()


def read_samples(path: Path) -> dict[str, Float[np.ndarray, "_ dim"]]:
    """The arrays ``generated`` and ``reference`` of an unchecked npz file; raises ValueError or OSError."""
    arrays = read_arrays(path, names=("generated", "reference"), max_bytes=MAX_SAMPLES_BYTES, min_rows=0)
    if not len(arrays["reference"]):
        raise ValueError("array 'reference' has no rows")
    dims = [array.shape[1] for array in arrays.values()]
    if dims[0] != dims[1]:
        raise ValueError(f"generated has dimension {dims[0]}, reference {dims[1]}")
    return arrays


# The digest of the checkpoint.


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names, sizes and contents of all files below ``folder``, in the order of their names.

    Raises:
        OSError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if not path.is_file():
            continue
        content = path.read_bytes()
        # Name and size first: otherwise bytes moved from one file to the next would give the same digest.
        total.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


# Writing.


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
    """Write a run folder atomically. An existing run is replaced; it is kept if anything fails.

    Files of other names in the folder are kept. scores.json is not: its scores belong to the replaced run.

    Args:
        path: the folder; absent, empty or a run.
        header: settings, status, steps and live changes.
        history: numeric columns, indexed by step (whole numbers >= 0, strictly increasing).
        generated: samples (n, dim), finite; n = 0 only where the header counts samples that were not finite.
        reference: data points (m, dim), finite.
        environment: as `toylab.storage.provenance.environment` returns it; its ``versions`` and ``git`` are copied
            into config.json.
        write_checkpoint: creates the folder whose path it is given and writes the parameters into it.

    Returns:
        The absolute path of the folder.

    Raises:
        FileExistsError: ``path`` is a file, or a folder that is not empty and not a run.
        ValueError: content that ``read_run`` would refuse.
        OSError: a file cannot be written.
    """
    path = Path(path).resolve()
    _refuse_foreign(path)
    made_with: dict[str, Any] = {"versions": environment.get("versions", {}), "git": environment.get("git")}
    with atomic_folder(path) as new:
        (new / HISTORY).write_text(history_text(history), encoding="utf-8", newline="\n")
        (new / SAMPLES).write_bytes(samples_bytes(generated, reference))
        (new / ENVIRONMENT).write_text(_json_or_error(ENVIRONMENT, dict(environment)), encoding="utf-8")
        if write_checkpoint is not None:
            write_checkpoint(new / CHECKPOINT)
            if not (new / CHECKPOINT).is_dir():
                raise ValueError("write_checkpoint created no folder")
            made_with[DIGEST] = folder_digest(new / CHECKPOINT)
        (new / CONFIG).write_text(_json_or_error(CONFIG, header.to_json() | made_with), encoding="utf-8")
        carry_over(path, new, but=OWN)
        # Read it back before it replaces the old run, so that the old run is never lost to an unreadable one.
        try:
            _read_folder(new)
        except RunFolderError as error:
            raise ValueError(str(error).replace(str(new), str(path))) from None
    return path


def check_target(path: str | os.PathLike) -> None:
    """Check that `write_run` can write to ``path``, before minutes of training rather than after.

    Raises:
        FileExistsError: ``path`` is a file, or a folder that is not empty and not a run.
        OSError: the folder cannot be written; the error names it.
    """
    path = Path(path).resolve()
    _refuse_foreign(path)
    check_writable(path.parent)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise FileExistsError(f"{path}: is a file, not a run folder")
    if not any(path.iterdir()):
        return
    # A file called config.json does not suffice, since many programs write one: it must be that of a run.
    try:
        _checked(path, CONFIG, _read_header_and_digest)
    except RunFolderError:
        raise FileExistsError(f"{path}: not empty and not a run folder; choose another folder") from None


def _json_or_error(name: str, value: dict[str, Any]) -> str:
    try:
        return json_text(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from None


# Reading.


@dataclass(frozen=True)
class RunFolder:
    """The checked content of a run folder.

    Args:
        path: the folder.
        header: settings, status, steps and live changes.
        history: indexed by step (strictly increasing), every column float64; NaN where a value was not measured.
        generated: samples of the model (n, dim); n = 0 only where ``header.nonfinite`` is positive.
        reference: data points (m, dim).
        environment: machine, versions, date; see `toylab.storage.provenance.environment`.
        checkpoint: the folder of the parameters, or None where there is none.
        digest: SHA-256 of the checkpoint in config.json, or None; a checkpoint without one is not loaded.
    """

    path: Path
    header: Header
    history: pd.DataFrame
    generated: Float[np.ndarray, "n dim"]
    reference: Float[np.ndarray, "m dim"]
    environment: dict[str, Any]
    checkpoint: Path | None
    digest: str | None = None

    def check_checkpoint(self) -> Path:
        """The folder of the parameters, after its files were verified against the digest.

        Raises:
            RunFolderError: no checkpoint, no digest, or a digest that differs.
        """
        path = self.path / CHECKPOINT
        if self.checkpoint is None:
            raise RunFolderError(f"{path}: the run has no checkpoint")
        if self.digest is None:
            raise RunFolderError(
                f"{path}: {CONFIG} has no {DIGEST}, so the checkpoint cannot be verified; train the run again"
            )
        try:
            intact = self.digest == folder_digest(self.checkpoint)
        except OSError as error:
            raise RunFolderError(f"{path}: {one_line(error)}") from None
        if not intact:
            raise RunFolderError(f"{path}: damaged, its SHA-256 differs from the one in {CONFIG}")
        return self.checkpoint


def read_run(path: str | os.PathLike) -> RunFolder:
    """Read and check a run folder. Where a crash interrupted its replacement, the old content is read.

    Raises:
        RunFolderError: not a run folder, or a file in it is missing, too large, damaged or of the wrong kind.
    """
    for _ in range(MAX_READS):
        before = _identity(path)
        try:
            run = _read_folder(before[0])
        except RunFolderError:
            if _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return run
    raise RunFolderError(
        f"{path}: another process replaced it during each of {MAX_READS} reads; try again later"
    )


def _identity(path: str | os.PathLike) -> tuple[Path, tuple[int, int] | None]:
    """Current place and inode of a run: equal before and after a read only if all files are of one run."""
    folder = locate_folder(path)
    try:
        stat = folder.stat()
    except FileNotFoundError:
        return folder, None
    # The inode alone does not suffice: file systems reuse that of a deleted folder.
    return folder, (stat.st_ino, stat.st_mtime_ns)


def _read_folder(folder: Path) -> RunFolder:
    if not (folder / CONFIG).is_file():
        raise RunFolderError(f"{folder}: not a run folder (it has no {CONFIG})")
    header, digest = _checked(folder, CONFIG, _read_header_and_digest)
    history = _checked(folder, HISTORY, read_history)
    samples = _checked(folder, SAMPLES, read_samples)
    if not len(samples["generated"]) and not header.nonfinite:
        raise RunFolderError(f"{folder / SAMPLES}: has no samples, but {CONFIG} counts 0 non-finite samples")
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
        digest=digest,
    )


def _read_header_and_digest(path: Path) -> tuple[Header, str | None]:
    content = _read_json(path)
    digest = content.get(DIGEST)
    if digest is not None and not isinstance(digest, str):
        raise ValueError(f"{DIGEST} must be a string, got {str(digest)[:60]}")
    return Header.from_json(content), digest


def _checked(folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder / name)
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{folder / name}: {one_line(error)}") from None


def _read_json(path: Path) -> dict[str, Any]:
    return parse_json_object(read_bytes(path, MAX_JSON_BYTES))


# Listing.


def is_run(path: str | os.PathLike) -> bool:
    """Whether ``path`` is a run folder, that is, has a config.json. ``read_run`` checks the content."""
    return (locate_folder(path) / CONFIG).is_file()


def list_runs(root: str | os.PathLike) -> list[Path]:
    """Every run folder at or below ``root``, sorted; folders that are still being written are left out.

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
