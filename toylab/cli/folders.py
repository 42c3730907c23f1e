"""Where results go: checked before minutes of training, not after."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from toylab.config import RunConfig
from toylab.storage.atomic import check_writable

MAX_TAKEN = 10_000


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Path]:
    """The new folder ``path``, ours from now on; it goes away again if nothing was written into it.

    Raises:
        ValueError: there is something at ``path`` already.
        OSError: it cannot be made there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} exists already: choose another --out, or continue a run with --resume")
    path.mkdir(exist_ok=True)
    check_writable(path)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.rmdir()  # only an empty folder lets itself be removed


def default_run_folder(config: RunConfig) -> Path:
    """``runs/<dataset>-<method>-b<beta>-s<seed>``, with -2, -3, ... where that is taken.

    Raises:
        ValueError: every suffix is taken.
    """
    name = f"{config.dataset}-{config.method}-b{config.beta:g}-s{config.seed}"
    for number in range(1, MAX_TAKEN):
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        if not path.exists():
            return path
    raise ValueError(f"runs/{name} and {MAX_TAKEN} like it are taken: give --out")


def make_writable(folder: Path) -> None:
    """Make ``folder`` if need be, and see that it can be written.

    Raises:
        OSError: it cannot be made or written; the error names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder)
