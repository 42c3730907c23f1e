"""The SHA-256 of a folder: whether its files are the ones that were written."""

import hashlib
from pathlib import Path


def folder_digest(folder: Path) -> str:
    """SHA-256 of the names, sizes and contents of all files below ``folder``, in the order of their names.

    Raises:
        OSError: a file that cannot be read.
    """
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        if not path.is_file():
            continue
        content = path.read_bytes()
        # Name and size first: else bytes could move from one file into the next.
        total.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()
