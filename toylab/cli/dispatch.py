"""Runs one command and returns its exit code.

This is the one place that imports a command's module, and only that of the command that runs. Those modules in turn
import JAX, pandas and matplotlib inside functions only: --help and a bad flag take 0.3 s of processor time, while
`import toylab.training` alone takes 2.7 s. Nothing but the standard library is imported before the Ctrl-C handler is
installed.
"""

import importlib
import os
import sys
import threading
from collections.abc import Sequence

from toylab.cli.interrupt import reraise_interrupts
from toylab.cli.output import note
from toylab.storage.cache import report_internal
from toylab.version import __version__

DONE, INTERNAL, BAD_USAGE, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130
REQUEUE = 75
"""Saved and stopped by SIGTERM, SIGUSR1 or SIGUSR2: queue it again (EX_TEMPFAIL, which schedulers recognise)."""

COMMANDS = {
    "app": "the lab in the browser: train live and change beta while it trains",
    "list": "names of one kind: datasets, methods, nets, presets, configs and others",
    "train": "train one run and save it as a folder",
    "sample": "draw samples from a run",
    "evaluate": "score a run: every metric with its standard error, n and floor",
    "sweep": "train a grid of runs, given by lists or by name; can be restarted, and divided between machines",
    "compare": "compare methods, coefficient rules and proxies at equal cost in network evaluations",
    "advise": "recommend a beta for a run or a dataset, with its uncertainty",
    "claims": "measure the claims of the paper: a verdict per claim by a stated rule",
    "study": "former name of sweep --grid: the paper's grid in 2-D, or beta on images",
    "report": "summarise a folder of runs as a table and a figure, with seeds and intervals",
    "bench": "measure the training speed of this machine",
    "inspect": "count parameters, operations and memory of a configuration before training",
}
"""Command -> summary; the code of each command is the module of the same name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 internal error, 2 bad usage, 3 diverged, 130 interrupted.

    Args:
        argv: the words after ``toylab``; those of the process by default.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help"):
        print(_help())
        return DONE
    if name == "--version":
        print(f"toylab {__version__}")
        return DONE
    if name not in COMMANDS:
        problem = f"unknown command {name!r}" if name else "no command given"
        note(f"toylab: {problem}; choices: {', '.join(COMMANDS)} (see toylab --help)")
        return BAD_USAGE
    return _run(name, argv[1:])


def _run(name: str, argv: list[str]) -> int:
    try:
        with reraise_interrupts() as interrupted:
            code = _attempt(name, argv, interrupted)
    except KeyboardInterrupt:  # Ctrl-C while an error message was being printed
        code = None
    if code is None:
        note(f"toylab {name}: interrupted, nothing further was saved")
        return INTERRUPTED
    return code


def _attempt(name: str, argv: list[str], interrupted: threading.Event) -> int | None:
    """The exit code; None after a Ctrl-C, which a library may have turned into an exception of another type."""
    try:
        command = importlib.import_module(f"toylab.cli.{name}")
        return command.run(command.parse(argv))
    except SystemExit as stop:  # raised by --help
        return int(stop.code or 0)
    except BrokenPipeError:  # `toylab list datasets | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return None
    except Exception as error:
        if interrupted.is_set():
            return None
        note(f"toylab {name}: {_message(error)}")
        return BAD_USAGE if isinstance(error, (OSError, ValueError)) else INTERNAL


def _message(error: Exception) -> str:
    """One line: the fault in the input, or the ID and log file of an internal error."""
    # Here, because it imports NumPy, and Ctrl-C during that import must already be handled.
    from toylab.storage.untrusted import with_place

    return with_place(error) if isinstance(error, (OSError, ValueError)) else report_internal(error)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: toylab COMMAND [flags]        (toylab COMMAND --help lists the flags)",
            "",
            "A laboratory for one-step generative models: train MeanFlow in seconds and change beta live.",
            "",
            *lines,
            "",
            "--json prints one JSON object to standard output. Exit codes: 0 done; 1 internal error (the message names",
            "the log file with the traceback; TOYLAB_DEBUG=1 prints it); 2 bad usage or value; 3 diverged (the state",
            "before it is saved; a sweep finishes its other runs); 75 train or sweep stopped by SIGTERM, SIGUSR1 or",
            "SIGUSR2 with the state saved, queue it again; 130 interrupted (train --resume continues).",
        ]
    )
