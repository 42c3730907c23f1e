"""Folders of results, checked before minutes of training rather than after."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from toylab.config import RunConfig
from toylab.storage.atomic import check_writable

MAX_TAKEN = 10_000


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Path]:
    """Context manager: creates the folder ``path``, and removes it at the end if it is still empty.

    Raises:
        ValueError: ``path`` exists and is not an empty folder.
        OSError: the folder cannot be created or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} already exists: choose another --out, or continue a run with --resume")
    path.mkdir(exist_ok=True)
    check_writable(path)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.rmdir()  # fails unless the folder is empty


def default_run_folder(config: RunConfig) -> Path:
    """``runs/<dataset>-<method>-b<beta>-s<seed>``, with the suffix -2, -3, ... where that exists.

    Raises:
        ValueError: the names with every suffix exist.
    """
    name = f"{config.dataset}-{config.method}-b{config.beta:g}-s{config.seed}"
    for number in range(1, MAX_TAKEN):
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
    raise ValueError(
        f"runs/{name} exists with every suffix up to -{MAX_TAKEN - 1}: choose another folder with --out"
    )


def make_writable(folder: Path) -> None:
    """Create ``folder`` if it does not exist, and check that it can be written.

    Raises:
        OSError: it cannot be created or written; the error names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder)
