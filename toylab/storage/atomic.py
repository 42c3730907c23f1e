"""Files and folders that appear whole or not at all, also when the machine stops half way."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

# Endings of hidden siblings: a folder being written, and one moved aside while its successor takes its place.
WRITING, ASIDE = ".writing", ".aside"


def atomic_write_text(path: str | os.PathLike, text: str) -> None:
    """Write ``text`` (UTF-8) to ``path``, as ``atomic_write_bytes`` does."""
    atomic_write_bytes(path, text.encode())


def atomic_write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write ``content`` to ``path``: readers see the old file or the new one, never a part.

    Raises:
        OSError: the file cannot be written; the old one is untouched; the error names the file.
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
        # Not the temporary file, which nobody knows.
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None
    fsync(path.parent)


def atomic_write_json(path: str | os.PathLike, value: Any) -> None:
    """Write ``value`` as JSON to ``path``, as ``atomic_write_text`` does.

    Raises:
        ValueError: ``value`` holds NaN or infinity, which JSON does not know.
        TypeError: ``value`` holds something that is not JSON.
        OSError: the file cannot be written; the old one is untouched.
    """
    atomic_write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """``value`` as indented JSON with a final newline; raises as ``atomic_write_json``."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give an empty folder to fill; on leaving it takes the place of ``path``, whose old content is deleted.

    No system call swaps two folders on every system, so the old one is moved aside, the new one moved in, and
    the old one deleted. A crash between the two moves leaves the old one aside, where ``locate_folder`` finds
    it until the next write succeeds. An exception inside the block leaves ``path`` as it was.

    Raises:
        OSError: a folder cannot be made or moved; the old one is untouched, or aside.
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
            # Back at once; if even that fails, readers still find it aside.
            if old.exists():
                with contextlib.suppress(OSError):
                    os.rename(old, path)
            raise
        fsync(path.parent)
        _delete_aside(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def carry_over(old: Path, new: Path, but: Collection[str]) -> None:
    """Give the folder ``new`` all entries of ``old`` except those called ``but`` and ours in passing.

    Files are linked where the disk knows links: however large they are, it takes no time and no space.

    Raises:
        OSError: an entry that cannot be copied.
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
    """See that something can be written into ``folder``, or where it would be made; leaves nothing behind.

    Raises:
        OSError: it cannot; the error names the folder that exists.
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
    """Where the folder ``path`` is: itself, or the newest one moved aside by a write that never ended."""
    path = Path(path).resolve()
    if path.exists():
        return path
    ages = []
    for aside in _asides(path):
        # A writer may be done with it by now.
        with contextlib.suppress(FileNotFoundError):
            ages.append((aside.stat().st_mtime, aside))
    return max(ages)[1] if ages else path


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one of ours in passing."""
    return name.startswith(".") and name.endswith((WRITING, ASIDE))


def target_of_aside(path: Path) -> Path | None:
    """The folder that ``path`` was moved aside for, or None if it is not an aside folder."""
    parts = path.name.rsplit(".", 2)
    if not (path.name.startswith(".") and len(parts) == 3 and f".{parts[2]}" == ASIDE):
        return None
    return path.with_name(parts[0][1:])


def fsync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
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
