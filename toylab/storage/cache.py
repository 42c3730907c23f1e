"""The user's cache folder: where compiled programs are kept, and what an internal error has to say."""

import os
import secrets
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

MAX_LOGS = 50


def cache_folder() -> Path:
    """TOYLAB_CACHE_DIR, or the user's cache folder, and toylab in it."""
    root = os.environ.get("TOYLAB_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "toylab"


def report_internal(error: BaseException) -> str:
    """Keep the traceback of an error that nobody foresaw, and return one line that names an id and where it is.

    With TOYLAB_DEBUG=1 it goes to standard error, otherwise into a file of the cache folder.
    """
    name = secrets.token_hex(4)
    line = f"internal error {name} ({type(error).__name__})"
    text = "".join(traceback.format_exception(error))
    if os.environ.get("TOYLAB_DEBUG") == "1":
        print(text, file=sys.stderr, end="")
        return f"{line}, see above"
    path = cache_folder() / "errors" / f"{name}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"{datetime.now(UTC).isoformat(timespec='seconds')} {sys.argv}\n{text}", encoding="utf-8"
        )
        for old in sorted(path.parent.glob("*.txt"), key=lambda path: path.stat().st_mtime)[:-MAX_LOGS]:
            old.unlink(missing_ok=True)
    except OSError:
        return f"{line}; TOYLAB_DEBUG=1 shows more"
    return f"{line}; the details are in {path}"
