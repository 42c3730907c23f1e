"""A run folder: written whole or not at all, and checked before it is believed. No jax, no pickle.

config.json         schema version, every setting, status, live changes, package versions, git hash (see `header`),
                    SHA-256 of the checkpoint
history.csv         one row per recorded step
samples.npz         generated (n, dim) and reference (m, dim); n = 0 where samples were not finite
checkpoint/         parameters, written and read by others; may be absent
environment.json    machine, versions, date
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.storage.atomic import (
    atomic_folder,
    carry_over,
    check_writable,
    is_temporary,
    json_text,
    locate_folder,
    target_of_aside,
)
from toylab.storage.digest import folder_digest
from toylab.storage.header import Header
from toylab.storage.provenance import environment
from toylab.storage.runfiles import history_text, read_history, read_samples, samples_bytes
from toylab.storage.untrusted import MAX_JSON_BYTES, one_line, parse_json_object, read_bytes

CONFIG, HISTORY, SAMPLES, ENVIRONMENT, CHECKPOINT = (
    "config.json",
    "history.csv",
    "samples.npz",
    "environment.json",
    "checkpoint",
)
SCORES = "scores.json"
"""What others measured of a run (see `sweep`)."""
DIGEST = "checkpoint_sha256"
"""Key of config.json."""
OWN = (CONFIG, HISTORY, SAMPLES, ENVIRONMENT, CHECKPOINT, SCORES)
__all__ = ["Header", "RunFolder", "RunFolderError", "check_target", "environment"]
__all__ += ["is_run", "list_runs", "read_run", "write_run"]


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
        digest: SHA-256 that config.json gives of the checkpoint, if any: without it parameters are not believed.
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
        """The folder of the parameters, once its files are known to be the ones that were written.

        Raises:
            RunFolderError: no checkpoint, no digest of it, or other files than those of the digest.
        """
        path = self.path / CHECKPOINT
        if self.checkpoint is None:
            raise RunFolderError(f"{path}: the run has no checkpoint")
        if self.digest is None:
            raise RunFolderError(f"{path}: {CONFIG} has no {DIGEST} to check it by; train the run again")
        try:
            intact = self.digest == folder_digest(self.checkpoint)
        except OSError as error:
            raise RunFolderError(f"{path}: {one_line(error)}") from None
        if not intact:
            raise RunFolderError(f"{path}: damaged, its SHA-256 is not the one in {CONFIG}")
        return self.checkpoint


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

    Files that others have put there stay, all but scores.json: those are of the run that is replaced.

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
    made_with: dict[str, Any] = {"versions": environment.get("versions", {}), "git": environment.get("git")}
    with atomic_folder(path) as new:
        (new / HISTORY).write_text(history_text(history), encoding="utf-8", newline="\n")
        (new / SAMPLES).write_bytes(samples_bytes(generated, reference))
        (new / ENVIRONMENT).write_text(_json_or_error(ENVIRONMENT, dict(environment)), encoding="utf-8")
        if write_checkpoint is not None:
            write_checkpoint(new / CHECKPOINT)
            if not (new / CHECKPOINT).is_dir():
                raise ValueError("write_checkpoint made no folder")
            made_with[DIGEST] = folder_digest(new / CHECKPOINT)
        (new / CONFIG).write_text(_json_or_error(CONFIG, header.to_json() | made_with), encoding="utf-8")
        carry_over(path, new, but=OWN)
        # What is written must be readable: otherwise the old run stays.
        try:
            _read_folder(new)
        except RunFolderError as error:
            raise ValueError(str(error).replace(str(new), str(path))) from None
    return path


def check_target(path: str | os.PathLike) -> None:
    """See that `write_run` could write to ``path``: before minutes of training, not after.

    Raises:
        FileExistsError: ``path`` is a file, or a folder with something else than a run in it.
        OSError: nothing can be written there; the error names the folder.
    """
    path = Path(path).resolve()
    _refuse_foreign(path)
    check_writable(path.parent)


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
    header, digest = _checked(folder, CONFIG, _read_header_and_digest)
    history = _checked(folder, HISTORY, read_history)
    samples = _checked(folder, SAMPLES, read_samples)
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
        digest=digest,
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
        _checked(path, CONFIG, _read_header_and_digest)
    except RunFolderError:
        raise FileExistsError(f"{path}: holds something else than a run, choose another folder") from None


def _read_header_and_digest(path: Path) -> tuple[Header, str | None]:
    content = _read_json(path)
    digest = content.get(DIGEST)
    if digest is not None and not isinstance(digest, str):
        raise ValueError(f"{DIGEST} must be text, got {str(digest)[:60]}")
    return Header.from_json(content), digest


def _checked(folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
    try:
        return read(folder / name)
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"{folder / name}: {one_line(error)}") from None


def _read_json(path: Path) -> dict[str, Any]:
    return parse_json_object(read_bytes(path, MAX_JSON_BYTES))


def _json_or_error(name: str, value: dict[str, Any]) -> str:
    try:
        return json_text(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from None
