"""Ctrl-C at any moment ends a command, also where a library would swallow it.

A KeyboardInterrupt that is raised inside a callback of the garbage collector, a destructor or a C++ library is printed
and forgotten, and the command goes on. So it is raised again until it arrives, and not printed: what calls
`PyErr_Print` (NumPy's C interface, when its import ends) goes through `sys.excepthook`. Only the standard library is
imported here: these are the first lines that run.
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

    hooks = sys.unraisablehook, sys.excepthook

    def forget_unraisable(event):
        if event.exc_type is not KeyboardInterrupt:
            hooks[0](event)

    def forget_printed(kind, error, trace):
        if not issubclass(kind, KeyboardInterrupt):
            hooks[1](kind, error, trace)

    wanted = [signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
    previous = {number: signal.signal(number, handle) for number in wanted}
    sys.unraisablehook, sys.excepthook = forget_unraisable, forget_printed
    try:
        yield asked
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        if sys.unraisablehook is forget_unraisable:
            sys.unraisablehook = hooks[0]
        if sys.excepthook is forget_printed:
            sys.excepthook = hooks[1]
