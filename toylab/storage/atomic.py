"""Atomic writes of files and folders: after a crash, the old content or the new one is there, never a mix."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

# Suffixes of hidden siblings: a file or folder being written, and the old folder while it is being replaced.
WRITING, ASIDE = ".writing", ".aside"


def atomic_write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path`` as ``atomic_write_bytes`` does."""
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write ``content`` to ``path``: readers see the old file or the new one, never a part of it.

    Raises:
        OSError: the file cannot be written; the old one is unchanged; the error names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{WRITING}")
    try:
        try:
            temporary.write_bytes(content)
            fsync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is None:
            raise
        # Name the target, not the temporary file.
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
    fsync(path.parent)


def atomic_write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as JSON to ``path`` as ``atomic_write_bytes`` does.

    Raises:
        ValueError: ``value`` holds NaN or infinity, which JSON does not have.
        TypeError: ``value`` holds an object that is not JSON.
        OSError: the file cannot be written; the old one is unchanged.
    """
    atomic_write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """``value`` as indented JSON with a final newline; raises ValueError or TypeError as ``atomic_write_json`` does."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Context manager: yields an empty folder, which replaces ``path`` when the block ends.

    Not every operating system can swap two folders in one call. The old folder is therefore renamed to a hidden
    sibling, the new one is renamed to ``path``, and the old one is deleted. After a crash between the two renames
    ``locate_folder`` finds the old folder until the next write succeeds. An exception inside the block leaves
    ``path`` as it was.

    Raises:
        OSError: a folder cannot be made or renamed; the old content is unchanged, in place or in the hidden sibling.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    new, old = (path.with_name(f".{path.name}.{token}{ending}") for ending in (WRITING, ASIDE))
    new.mkdir()
    try:
        yield new
        for inner in new.rglob("*"):
            if not inner.is_symlink() and (inner.is_file() or inner.is_dir()):
                fsync(inner)
        fsync(new)
        if path.exists():
            os.rename(path, old)
        try:
            os.rename(new, path)
        except OSError:
            # Undo the first rename. If that fails too, readers find the old folder through locate_folder.
            if old.exists():
                with contextlib.suppress(OSError):
                    os.rename(old, path)
            raise
        fsync(path.parent)
        _delete_aside(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def carry_over(old: Path, new: Path, but: Collection[str]) -> None:
    """Copy all entries of the folder ``old`` into ``new``, except those named in ``but`` and temporary ones.

    Files are hard-linked where the file system supports it, so that large files cost no time and no space.

    Raises:
        OSError: an entry cannot be copied.
    """
    if not old.is_dir():
        return
    for entry in old.iterdir():
        if entry.name in but or is_temporary(entry.name) or (new / entry.name).exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, new / entry.name, symlinks=True, copy_function=_link_or_copy)
        else:
            _link_or_copy(entry, new / entry.name)


def _link_or_copy(source: str | os.PathLike, target: str | os.PathLike) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def check_writable(folder: str | os.PathLike) -> None:
    """Check that a file can be created in ``folder``, or in its nearest existing parent; leaves nothing behind.

    Raises:
        OSError: no file can be created; the error names the existing folder.
    """
    folder = Path(folder).resolve()
    while not folder.exists() and folder.parent != folder:
        folder = folder.parent
    probe = folder / f".{secrets.token_hex(4)}{WRITING}"
    try:
        probe.touch()
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(folder)) from None
    probe.unlink()


def locate_folder(path: str | os.PathLike) -> Path:
    """Current place of the folder ``path``: itself, or its newest hidden sibling after an interrupted replacement."""
    path = Path(path).resolve()
    if path.exists():
        return path
    ages = []
    for aside in _asides(path):
        # A writer may delete it at the same time.
        with contextlib.suppress(FileNotFoundError):
            ages.append((aside.stat().st_mtime, aside))
    return max(ages)[1] if ages else path


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is a temporary one of this module."""
    return name.startswith(".") and name.endswith((WRITING, ASIDE))


def target_of_aside(path: Path) -> Path | None:
    """The folder whose old content ``path`` holds, or None if ``path`` is not such a hidden sibling."""
    parts = path.name.rsplit(".", 2)
    if not (path.name.startswith(".") and len(parts) == 3 and f".{parts[2]}" == ASIDE):
        return None
    return path.with_name(parts[0][1:])


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _asides(path: Path) -> list[Path]:
    if not path.parent.is_dir():
        return []
    return [entry for entry in path.parent.iterdir() if target_of_aside(entry) == path]


def _delete_aside(path: Path) -> None:
    for aside in _asides(path):
        shutil.rmtree(aside, ignore_errors=True)
