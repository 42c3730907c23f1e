"""Who has the machine: tests that time a click have it for themselves, though the suite runs in two processes."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def machine(*, alone: bool) -> Iterator[None]:
    """Hold the machine, ``alone`` or with whoever else shares it; waits for its turn.

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
    with (Path(tempfile.gettempdir()) / f"toylab-tests-{run}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
