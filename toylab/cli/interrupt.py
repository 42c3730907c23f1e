"""Ctrl-C at any moment ends a command, also where a library would swallow it.

A KeyboardInterrupt that is raised inside a callback of the garbage collector, a destructor or a C++ library is printed
and forgotten, and the command goes on. So it is raised again until it arrives. Only the standard library is imported
here: these are the first lines that run.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

AGAIN_SECONDS = 0.5
"""Time after which an interrupt that did not arrive is raised again."""


@contextlib.contextmanager
def insistent() -> Iterator[threading.Event]:
    """An event that says whether there was a Ctrl-C; KeyboardInterrupt is raised until the block is left.

    Training has a handler of its own while it trains: it saves first.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(signum, frame):
        asked.set()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        raise KeyboardInterrupt

    hook = sys.unraisablehook

    def forget(event):
        if event.exc_type is not KeyboardInterrupt:
            hook(event)

    wanted = [signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
    previous = {number: signal.signal(number, handle) for number in wanted}
    sys.unraisablehook = forget
    try:
        yield asked
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        if sys.unraisablehook is forget:
            sys.unraisablehook = hook
