"""Makes Ctrl-C end a command at any moment, even where a library would swallow the KeyboardInterrupt.

A KeyboardInterrupt raised inside a callback of the garbage collector, a destructor or a C++ library is printed and then
discarded, and the command would go on. It is therefore raised again every half second until it reaches the command, and
not printed: code that calls `PyErr_Print` (NumPy's C interface at the end of its import) goes through
`sys.excepthook`. While a module is imported it waits: raised in the initialisation of a compiled module it can end the
process by SIGSEGV or SIGABRT, as JAX's did in 1 of 119 starts on a busy machine. Only the standard library is imported
here, because this code runs before all other imports.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

AGAIN_SECONDS = 0.5
"""Interval at which KeyboardInterrupt is raised again."""
IMPORTING_SECONDS = 0.02
"""Interval at which it is tried again while a module is imported."""
IMPORTER = "<frozen importlib._bootstrap>"
"""File of the frames of an import, in tracebacks too."""


@contextlib.contextmanager
def reraise_interrupts() -> Iterator[threading.Event]:
    """After Ctrl-C, raise KeyboardInterrupt until the block is left; yields the event that is set by Ctrl-C.

    Outside the main thread nothing is installed, since signals arrive in the main thread only. While it trains,
    training installs its own handler, which saves the state first.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    def handle(signum, frame):
        interrupted.set()
        if hasattr(signal, "setitimer"):
            waits = _is_importing(frame)
            signal.setitimer(signal.ITIMER_REAL, IMPORTING_SECONDS if waits else AGAIN_SECONDS)
            if waits:
                return
        raise KeyboardInterrupt

    hooks, threads = (sys.unraisablehook, sys.excepthook), set(threading.enumerate())

    def ignore_unraisable(event):
        if event.exc_type is not KeyboardInterrupt:
            hooks[0](event)

    def ignore_printed(kind, error, trace):
        if not issubclass(kind, KeyboardInterrupt):
            hooks[1](kind, error, trace)

    signals = [signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
    previous = {number: signal.signal(number, handle) for number in signals}
    sys.unraisablehook, sys.excepthook = ignore_unraisable, ignore_printed
    try:
        yield interrupted
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        if sys.unraisablehook is ignore_unraisable:
            sys.unraisablehook = hooks[0]
        if sys.excepthook is ignore_printed:
            sys.excepthook = hooks[1]
        if interrupted.is_set():
            # JAX starts one that warns after a minute of waiting for a TPU; if the interrupt comes before it is
            # stopped, the process waits for it at its end.
            for thread in set(threading.enumerate()) - threads:
                if isinstance(thread, threading.Timer):
                    thread.cancel()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether ``frame`` was called, directly or not, by the import of a module."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTER:
            return True
        frame = frame.f_back
    return False
