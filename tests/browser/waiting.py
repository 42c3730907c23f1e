"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float) -> float:
    """Seconds until the condition holds; an error where it does not in time."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds} s in vain"
        time.sleep(0.03)
    return time.monotonic() - began
