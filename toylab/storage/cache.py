"""The user's cache folder: compiled programs, and logs of internal errors."""

import os
import secrets
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

MAX_LOGS = 50


def cache_folder() -> Path:
    """The folder ``toylab`` in TOYLAB_CACHE_DIR, XDG_CACHE_HOME or ~/.cache, whichever is set first."""
    root = os.environ.get("TOYLAB_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "toylab"


def report_internal(error: BaseException) -> str:
    """Log the traceback of an internal error, and return one line with the ID of the error and the place of the log.

    With TOYLAB_DEBUG=1 the traceback is printed to standard error, otherwise written to a file in the cache folder.
    The newest 50 log files are kept.
    """
    name = secrets.token_hex(4)
    line = f"internal error {name} ({type(error).__name__})"
    text = "".join(traceback.format_exception(error))
    if os.environ.get("TOYLAB_DEBUG") == "1":
        print(text, file=sys.stderr, end="")
        return f"{line}; the traceback is above"
    path = cache_folder() / "errors" / f"{name}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"{datetime.now(UTC).isoformat(timespec='seconds')} {sys.argv}\n{text}", encoding="utf-8"
        )
        for old in sorted(path.parent.glob("*.txt"), key=lambda path: path.stat().st_mtime)[:-MAX_LOGS]:
            old.unlink(missing_ok=True)
    except OSError:
        return f"{line}; set TOYLAB_DEBUG=1 to print the traceback"
    return f"{line}; the traceback is in {path}"
