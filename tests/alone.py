"""Who has the machine: tests that time a click have it for themselves, though the suite runs in two processes."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def machine(*, alone: bool) -> Iterator[None]:
    """Hold the machine, ``alone`` or with whoever else shares it; waits for its turn.

    All come in by one door. Whoever will be alone keeps it shut, so that the others cannot go on taking turns for ever.
    One process alone has nobody to wait for, and where there are no file locks (Windows) nobody waits.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    try:
        import fcntl
    except ImportError:
        run = None
    if not run:
        yield
        return
    folder = Path(tempfile.gettempdir())
    with (folder / f"toylab-door-{run}").open("w") as door, (folder / f"toylab-room-{run}").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(door, fcntl.LOCK_UN)
        yield
